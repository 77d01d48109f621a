//! Fetches the archives of a corpus from its publisher, for `labyrinth prepare --download`.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use labyrinth_corpus::{
    CorpusInfo, DownloadError, DownloadEvent, Patience, Published, PublishedArchive, download,
};

use crate::failure::Failure;
use crate::output::Narrator;
use crate::progress::ByteProgress;
use crate::wording;

/// What is to be fetched, and to where.
pub struct Wanted<'a> {
    pub corpus: &'static CorpusInfo,
    pub folder: &'a Path,
    /// As `--part` names them.
    pub parts: &'a [String],
    pub mirror: Option<&'a str>,
}

/// What `--part` may name of a corpus, as its help says it.
pub fn parts(corpus: &CorpusInfo) -> Option<String> {
    let Published { archives, usual, .. } = corpus.published_archives()?;
    match archives {
        [only] => Some(format!("--download: {}", only.name)),
        _ => {
            let usual = usual.map_or_else(String::new, |usual| format!("; {usual} if not named"));
            Some(format!("--download: --part {}{usual}", names(archives)))
        }
    }
}

fn names(archives: &[PublishedArchive]) -> String {
    archives.iter().map(|archive| archive.part).collect::<Vec<_>>().join(", ")
}

impl Wanted<'_> {
    /// Fetches and gives the archives. `more` are the other options, for a command that is suggested.
    pub fn fetch(&self, more: &str) -> Result<Vec<PathBuf>, Failure> {
        let archives = self.archives()?;
        let CorpusInfo { title, licence, home, .. } = self.corpus;
        let mut narrator = Narrator::default();
        narrator.line(format_args!("{title}\n  licence  {licence}\n  home     {home}"));
        let narrator = RefCell::new(narrator);
        let paths = archives.iter().map(|archive| {
            let file = archive.at(self.mirror);
            let to = self.folder.join(&file.name);
            narrator.borrow_mut().line(match to.exists() {
                true => format!("  here     {}", to.display()),
                false => format!("  fetch    {}\n  to       {}", file.url, to.display()),
            });
            let teller = Teller::new(&narrator);
            let path =
                download(&file, self.folder, &Patience::default(), &|event| teller.tell(event));
            teller.finish();
            let path = path.map_err(|error| self.explain(error, archives.len(), more))?;
            narrator.borrow_mut().line("  SHA-256  as published");
            Ok(path)
        });
        let paths: Vec<PathBuf> = paths.collect::<Result<_, Failure>>()?;
        let mut narrator = narrator.into_inner();
        narrator.line("");
        narrator.finish()?;
        Ok(paths)
    }

    /// The archives that the parts name, in the order of the table whatever the order of the names: the
    /// same parts are the same corpus.
    fn archives(&self) -> Result<Vec<PublishedArchive>, Failure> {
        let CorpusInfo { name, home, .. } = self.corpus;
        let Some(published) = self.corpus.published_archives() else {
            return Err(Failure::Sentence(format!(
                "no archive of {name} is known that could be fetched and verified; get it ({home}) and name \
                 it with --from"
            )));
        };
        let known = names(published.archives);
        let mut parts: Vec<&str> = self.parts.iter().map(|part| part.trim()).collect();
        if parts.is_empty() {
            let usual = published.usual.ok_or_else(|| {
                let all = if published.together { "one or several" } else { "one" };
                Failure::Sentence(format!(
                    "{name} comes in parts; name {all} of them with --part: {known}"
                ))
            })?;
            parts.push(usual);
        }
        if let Some(unknown) =
            parts.iter().find(|part| !published.archives.iter().any(|known| known.part == **part))
        {
            return Err(Failure::Sentence(format!(
                "{name} has no part {unknown:?}; --part takes {known}"
            )));
        }
        let archives: Vec<_> = published
            .archives
            .iter()
            .filter(|known| parts.contains(&known.part))
            .copied()
            .collect();
        if archives.len() > 1 && !published.together {
            return Err(Failure::Sentence(format!(
                "the parts of {name} are not one corpus but several; name one of them with --part: {known}"
            )));
        }
        Ok(archives)
    }

    /// What to do where only TLS leads to the file: a command that can be pasted. The address may come from
    /// a server, so it is quoted like anything else.
    fn explain(&self, error: DownloadError, count: usize, more: &str) -> Failure {
        let DownloadError::NeedsTls { url, path } = error else { return error.into() };
        let (to, from) = (wording::shell(&path), wording::shell(Path::new(&url)));
        let other = match count {
            1 => {
                let name = self.corpus.name;
                format!(", or run `labyrinth prepare {name} --from {to}{more}`")
            }
            _ => String::new(),
        };
        Failure::Sentence(format!(
            "{url} can be had over TLS only, which this program does not speak; fetch it with `curl -fL \
             --create-dirs -C - -o {to} {from}` and repeat this command, which verifies it{other}"
        ))
    }
}

/// Tells what happens to one file.
struct Teller<'a> {
    narrator: &'a RefCell<Narrator>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    fetching: Option<ByteProgress>,
    verifying: Option<ByteProgress>,
    size_told: bool,
}

impl<'a> Teller<'a> {
    fn new(narrator: &'a RefCell<Narrator>) -> Self {
        Self { narrator, state: RefCell::default() }
    }

    fn tell(&self, event: DownloadEvent<'_>) {
        let mut state = self.state.borrow_mut();
        match event {
            DownloadEvent::Begins { done, total } => {
                if !state.size_told {
                    state.size_told = true;
                    let size = total.map_or("not told by the server".to_owned(), wording::bytes);
                    let had = match done {
                        0 => String::new(),
                        done => format!(", {} of it here already", wording::bytes(done)),
                    };
                    self.narrator.borrow_mut().line(format_args!("  size     {size}{had}"));
                }
                state
                    .fetching
                    .get_or_insert_with(|| ByteProgress::new("fetching"))
                    .begin(done, total);
            }
            DownloadEvent::At { done, total } => {
                if let Some(progress) = &state.fetching {
                    progress.at(done, total);
                }
            }
            DownloadEvent::Again { reason, done, pause } => {
                let progress = state.fetching.get_or_insert_with(|| ByteProgress::new("fetching"));
                progress.remark(format_args!(
                    "the connection broke off at {} ({reason}); it is tried again in {} s",
                    wording::bytes(done),
                    pause.as_secs_f64()
                ));
            }
            DownloadEvent::Verifying { done, total } => {
                if let Some(progress) = state.fetching.take() {
                    progress.finish();
                }
                let progress = state.verifying.get_or_insert_with(|| {
                    let progress = ByteProgress::new("verifying");
                    progress.begin(0, Some(total));
                    progress
                });
                progress.at(done, Some(total));
            }
        }
    }

    fn finish(self) {
        let State { fetching, verifying, .. } = self.state.into_inner();
        for progress in fetching.into_iter().chain(verifying) {
            progress.finish();
        }
    }
}
