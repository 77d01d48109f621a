//! What a run directory tells of its training: the lines of `log.jsonl` and `sessions.jsonl`.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde_json::Value;

use crate::error::TrainError;

/// One step of which the log tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub step: f64,
    pub loss: f64,
    pub learning_rate: f64,
    pub gradient_norm: f64,
}

/// One epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch {
    pub epoch: f64,
    pub train_loss: f64,
    pub dev_loss: f64,
    /// Share of the words, or phonemes; `None` where nobody says one.
    pub error_rate: Option<f64>,
    /// Its 95 % interval; runs of earlier versions have none.
    pub interval: Option<(f64, f64)>,
    pub character_error_rate: Option<f64>,
    pub blank_share: f64,
    pub best: bool,
}

/// A process that worked on the run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Session {
    pub cpu: String,
    pub instruction_set: String,
    pub threads: u64,
    pub workers: u64,
    /// Step at which it began.
    pub from: u64,
    /// Seconds it took and steps it came to; `None` where it was killed.
    pub end: Option<(f64, u64)>,
    /// Seconds that went into what it saved last; what it did after that, a kill took away.
    pub saved: Option<f64>,
    /// Largest memory it held, in bytes, where the system tells.
    pub peak_memory: Option<u64>,
}

/// What happened in a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// What error rates count: words, or phonemes.
    pub counted: &'static str,
    pub steps: Vec<Step>,
    pub epochs: Vec<Epoch>,
    pub skipped: usize,
    pub sessions: Vec<Session>,
}

/// The lines of a file of JSON Lines; none where it is not there. A last line without its end, cut by
/// a kill, is passed over, and so is any other that is no JSON: a report shows what there is.
fn lines(path: &Path) -> Result<Vec<Value>, TrainError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(TrainError::Read { path: path.into(), source }),
    }
}

impl History {
    /// Reads what there is.
    pub fn read(run: &Path) -> Result<Self, TrainError> {
        let mut history = Self { counted: "words", ..Self::default() };
        for line in lines(&run.join("log.jsonl"))? {
            let number = |key: &str| line[key].as_f64().unwrap_or(f64::NAN);
            match line["event"].as_str() {
                Some("step") => history.steps.push(Step {
                    step: number("step"),
                    loss: number("loss"),
                    learning_rate: number("learning-rate"),
                    gradient_norm: number("gradient-norm"),
                }),
                Some("skipped") => history.skipped += 1,
                Some("epoch") => {
                    if line.get("dev-per").is_some() {
                        history.counted = "phonemes";
                    }
                    let bound = |index: usize| line["dev-interval"][index].as_f64();
                    history.epochs.push(Epoch {
                        epoch: number("epoch"),
                        train_loss: number("train-loss"),
                        dev_loss: number("dev-loss"),
                        error_rate: line["dev-wer"].as_f64().or(line["dev-per"].as_f64()),
                        interval: bound(0).zip(bound(1)),
                        character_error_rate: line["dev-cer"].as_f64(),
                        blank_share: number("blank-share"),
                        best: line["best"] == true,
                    });
                }
                _ => {}
            }
        }
        for line in lines(&run.join("sessions.jsonl"))? {
            let text = |key: &str| line[key].as_str().unwrap_or("unknown").to_owned();
            let number = |key: &str| line[key].as_u64();
            match (line["event"].as_str(), history.sessions.last_mut()) {
                (Some("began"), _) => history.sessions.push(Session {
                    cpu: text("cpu"),
                    instruction_set: text("instruction-set"),
                    threads: number("threads").unwrap_or(0),
                    workers: number("workers").unwrap_or(0),
                    from: number("step").unwrap_or(0),
                    ..Session::default()
                }),
                (Some("saved"), Some(session)) => {
                    session.saved = line["seconds"].as_f64();
                    session.peak_memory = number("peak-memory");
                }
                (Some("ended"), Some(session)) => {
                    session.end = line["seconds"].as_f64().zip(number("step"));
                    session.peak_memory = number("peak-memory");
                }
                _ => {}
            }
        }
        Ok(history)
    }

    /// The epoch whose model was kept.
    pub fn best(&self) -> Option<&Epoch> {
        self.epochs.iter().rev().find(|epoch| epoch.best)
    }

    /// Seconds that went into the training, and whether they are all of it: of a session that was killed, those up
    /// to the checkpoint from which the next one went on. `None` where nothing tells.
    pub fn seconds(&self) -> Option<(f64, bool)> {
        let share = |session: &Session| session.end.map(|end| end.0).or(session.saved);
        let seconds =
            self.sessions.iter().filter_map(share).reduce(|sum, seconds| sum + seconds)?;
        let next = self.sessions.iter().skip(1).map(|next| Some(next.from)).chain([None]);
        let whole = self.sessions.iter().zip(next).all(|(session, next)| match next {
            None => session.end.is_some(),
            // Killed before it saved anything, it left the next one where it began itself.
            Some(from) => share(session).is_some() || from == session.from,
        });
        Some((seconds, whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_session_counts_up_to_what_it_saved() {
        let session = |from, saved, end| Session { from, saved, end, ..Session::default() };
        let seconds = |sessions| History { sessions, ..History::default() }.seconds();
        assert_eq!(seconds(vec![]), None);
        assert_eq!(seconds(vec![session(0, Some(4.0), Some((5.0, 9)))]), Some((5.0, true)));
        let last = session(6, None, Some((3.0, 9)));
        assert_eq!(seconds(vec![session(0, Some(4.0), None), last.clone()]), Some((7.0, true)));
        // What an earlier version's session did up to step 6 nobody noted.
        assert_eq!(seconds(vec![session(0, None, None), last.clone()]), Some((3.0, false)));
        let none = session(6, None, None);
        assert_eq!(seconds(vec![session(0, Some(4.0), None), none, last]), Some((7.0, true)));
        assert_eq!(seconds(vec![session(0, Some(4.0), None)]), Some((4.0, false)));
    }
}
