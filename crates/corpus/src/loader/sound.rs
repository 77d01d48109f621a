//! What training does to the sound of an utterance between resampling and features.
//!
//! In the order in which sound meets them: the room, noises, the hand on the gain, the line. Each draws
//! from its own key of (seed, epoch, utterance). Simulated rooms are numbered; a room is a function of
//! (seed, number), simulated by whichever worker needs it first and kept for all.

use super::plan::Purpose;
use super::{LoaderError, LoaderOptions};
use crate::clip::ClipFault;
use crate::recordings::{Recordings, RecordingsError};
use labyrinth_signal::{
    AugmentError, ImpulseResponse, LowPass, LowPassFilter, Noise, Random, RecordedNoise, Resampler,
    Reverberation, Reverberator, Telephone, TelephoneLine, Volume, add_at_ratio, power,
};
use std::sync::{Arc, OnceLock};

/// The longest part of a recorded impulse response that is used, in seconds.
const LONGEST_RESPONSE: f64 = 5.0;

/// What is done to the sound; nothing by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SoundOptions {
    /// A room between mouth and microphone.
    pub reverberation: Option<Reverberation>,
    /// Recordings of noise.
    pub recorded_noise: Option<RecordedNoise>,
    /// Noise added to the samples.
    pub noise: Option<Noise>,
    /// Another level.
    pub volume: Option<Volume>,
    /// Less bandwidth.
    pub low_pass: Option<LowPass>,
    /// The telephone.
    pub telephone: Option<Telephone>,
}

/// The recordings that [`SoundOptions`] name.
#[derive(Clone, Debug, Default)]
pub struct SoundRecordings {
    noises: Option<Arc<Recordings>>,
    responses: Option<Arc<Recordings>>,
}

impl SoundRecordings {
    /// One digest of all; empty where there are none.
    pub fn digest(&self) -> String {
        let digest = |part: &Option<Arc<Recordings>>| {
            part.as_ref().map_or("", |recordings| recordings.digest()).to_owned()
        };
        match (digest(&self.noises), digest(&self.responses)) {
            (noises, responses) if noises.is_empty() && responses.is_empty() => String::new(),
            (noises, responses) => format!("{noises}/{responses}"),
        }
    }
}

impl SoundOptions {
    /// Whether every option lies in its range, for recordings of `sample_rate`.
    ///
    /// # Errors
    /// [`AugmentError`] says what does not.
    pub fn check(&self, sample_rate: u32) -> Result<(), AugmentError> {
        self.reverberation.as_ref().map_or(Ok(()), Reverberation::check)?;
        self.recorded_noise.as_ref().map_or(Ok(()), RecordedNoise::check)?;
        self.noise.as_ref().map_or(Ok(()), Noise::check)?;
        self.volume.as_ref().map_or(Ok(()), Volume::check)?;
        self.low_pass.as_ref().map_or(Ok(()), |low_pass| low_pass.check(sample_rate))?;
        self.telephone.as_ref().map_or(Ok(()), Telephone::check)
    }

    /// Lists and hears the recordings named.
    ///
    /// # Errors
    /// [`RecordingsError`] names the one that cannot be used.
    pub fn read_recordings(&self) -> Result<SoundRecordings, RecordingsError> {
        let open = |path| Recordings::open(path).map(Arc::new);
        let responses = self.reverberation.as_ref().and_then(|r| r.recordings.as_deref());
        let noises = self.recorded_noise.as_ref().map(|noise| noise.recordings.as_path());
        Ok(SoundRecordings {
            noises: noises.map(open).transpose()?,
            responses: responses.map(open).transpose()?,
        })
    }
}

/// Changes any rate into one, and keeps the filter of the last: corpora have one rate, or few.
pub(crate) struct RateConverter {
    to: u32,
    kept: Option<(u32, Resampler)>,
}

impl RateConverter {
    pub(crate) fn new(to: u32) -> Self {
        Self { to, kept: None }
    }

    pub(crate) fn convert(&mut self, samples: Vec<f32>, from: u32) -> Vec<f32> {
        if from == self.to {
            return samples;
        }
        let resampler = match &mut self.kept {
            Some((rate, resampler)) if *rate == from => resampler,
            other => &mut other.insert((from, Resampler::new(from, self.to))).1,
        };
        resampler.process(&samples)
    }
}

/// What all workers share.
pub(super) struct SoundStage {
    sample_rate: u32,
    rooms: Vec<OnceLock<Option<ImpulseResponse>>>,
}

impl SoundStage {
    /// # Errors
    /// [`LoaderError`] where an option is out of its range, or recordings are named and not there.
    pub(super) fn new(options: &LoaderOptions, sample_rate: u32) -> Result<Self, LoaderError> {
        options.sound.check(sample_rate)?;
        let (sound, found) = (&options.sound, &options.recordings);
        let responses = sound.reverberation.as_ref().is_some_and(|r| r.recordings.is_some());
        for (option, named, there) in [
            ("recorded-noise", sound.recorded_noise.is_some(), found.noises.is_some()),
            ("reverberation", responses, found.responses.is_some()),
        ] {
            if named && !there {
                let (value, wanted) = ("unread recordings".into(), "recordings that were read");
                return Err(LoaderError::Option { option, value, wanted });
            }
        }
        let rooms = sound.reverberation.as_ref().filter(|_| !responses).map_or(0, |r| r.rooms);
        Ok(Self { sample_rate, rooms: (0..rooms).map(|_| OnceLock::new()).collect() })
    }
}

/// What one worker works with.
pub(super) struct SoundWorker {
    options: Arc<LoaderOptions>,
    stage: Arc<SoundStage>,
    reverberator: Reverberator,
    noise_rate: RateConverter,
    response_rate: RateConverter,
    low_pass: Option<LowPassFilter>,
    telephone: Option<TelephoneLine>,
}

impl SoundWorker {
    pub(super) fn new(options: &Arc<LoaderOptions>, stage: &Arc<SoundStage>) -> Self {
        let (sound, rate) = (&options.sound, stage.sample_rate);
        Self {
            reverberator: Reverberator::default(),
            noise_rate: RateConverter::new(rate),
            response_rate: RateConverter::new(rate),
            low_pass: sound.low_pass.as_ref().map(|low_pass| LowPassFilter::new(low_pass, rate)),
            telephone: sound.telephone.as_ref().map(|line| TelephoneLine::new(line, rate)),
            options: Arc::clone(options),
            stage: Arc::clone(stage),
        }
    }

    /// Changes the sound of an utterance; the number of samples stays. `random` gives the generator of
    /// a purpose.
    ///
    /// # Errors
    /// [`LoaderError`] where a recording that was there when the run began cannot be read any more.
    pub(super) fn apply(
        &mut self,
        samples: &mut Vec<f32>,
        random: impl Fn(Purpose) -> Random,
    ) -> Result<(), LoaderError> {
        let options = Arc::clone(&self.options);
        let sound = &options.sound;
        if let Some(reverberation) = &sound.reverberation {
            let mut random = random(Purpose::Reverberation);
            if reverberation.draw(&mut random) {
                self.reverberate(samples, reverberation, &mut random)?;
            }
        }
        let noisy = sound.recorded_noise.is_some() || sound.noise.is_some();
        let speech = if noisy { power(samples) } else { 0.0 };
        if let (Some(noise), Some(noises)) = (&sound.recorded_noise, &options.recordings.noises) {
            let mut random = random(Purpose::RecordedNoise);
            if let Some(snr) = noise.draw(&mut random) {
                let noise = self.noise(noises, samples.len(), &mut random)?;
                add_at_ratio(samples, speech, &noise, snr);
            }
        }
        if let Some(noise) = &sound.noise {
            noise.apply(samples, speech, &mut random(Purpose::Noise));
        }
        if let Some(volume) = &sound.volume {
            volume.apply(samples, &mut random(Purpose::Volume));
        }
        if let Some(low_pass) = &mut self.low_pass {
            low_pass.apply(samples, &mut random(Purpose::LowPass));
        }
        if let Some(telephone) = &mut self.telephone {
            telephone.apply(samples, &mut random(Purpose::Telephone));
        }
        Ok(())
    }

    fn reverberate(
        &mut self,
        samples: &mut Vec<f32>,
        reverberation: &Reverberation,
        random: &mut Random,
    ) -> Result<(), LoaderError> {
        if let Some(responses) = &self.options.recordings.responses {
            let audio = responses.draw(LONGEST_RESPONSE, random).map_err(lost)?;
            // Microphones of an array hear one room from different places: one of them, not their mean.
            let channel = random.below(audio.channels.len() as u64) as usize;
            let rate = audio.sample_rate;
            let recorded = audio.channels.into_iter().nth(channel).unwrap_or_default();
            let response =
                ImpulseResponse::from_recording(self.response_rate.convert(recorded, rate));
            if let Some(response) = response {
                self.reverberator.apply(samples, &response);
            }
            return Ok(());
        }
        let number = random.below(self.stage.rooms.len() as u64);
        let Some(room) = self.stage.rooms.get(number as usize) else { return Ok(()) };
        let response = room.get_or_init(|| {
            let key = [self.options.seed, Purpose::Rooms as u64, number];
            reverberation.simulate(self.stage.sample_rate, &mut Random::from_key(&key))
        });
        if let Some(response) = response {
            self.reverberator.apply(samples, response);
        }
        Ok(())
    }

    /// `count` samples of a random recording, going round where it is shorter.
    fn noise(
        &mut self,
        noises: &Recordings,
        count: usize,
        random: &mut Random,
    ) -> Result<Vec<f32>, LoaderError> {
        let seconds = count as f64 / f64::from(self.stage.sample_rate);
        let section = noises.draw_section(seconds, random).map_err(lost)?;
        let rate = section.audio.sample_rate;
        let noise = self.noise_rate.convert(section.audio.mono(), rate);
        let begin = section.begin.map_or(0, |share| (share * noise.len() as f64) as usize);
        Ok(noise.iter().cycle().skip(begin).take(count).copied().collect())
    }
}

/// A recording was heard when the run began, and is lost now.
fn lost(fault: ClipFault) -> LoaderError {
    match fault {
        ClipFault::Refused { detail, .. } => LoaderError::Recording { detail },
        ClipFault::Disk { path, source } => LoaderError::Disk { path, source },
    }
}
