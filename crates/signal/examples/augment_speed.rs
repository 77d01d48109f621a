//! What each augmentation costs, in milliseconds per second of audio at 16 kHz on one thread.

use std::hint::black_box;
use std::time::Instant;

use labyrinth_signal::{
    FeatureExtractor, FeatureOptions, LowPass, LowPassFilter, Noise, Random, Reverberation,
    Reverberator, Telephone, TelephoneLine, change_speed, change_tempo, power,
};

/// Seconds of audio.
const SECONDS: usize = 10;

/// Least and median milliseconds per second of audio over 15 rounds.
fn time(name: &str, mut work: impl FnMut(&[f32], &mut Random)) {
    let mut random = Random::from_key(&[1]);
    let sound: Vec<f32> = (0..16_000 * SECONDS).map(|_| 0.1 * random.normal() as f32).collect();
    let mut rounds: Vec<f64> = (0..15)
        .map(|_| {
            let start = Instant::now();
            work(black_box(&sound), &mut random);
            1e3 * start.elapsed().as_secs_f64() / SECONDS as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{name:<34} {:8.3} {:8.3}", rounds[0], rounds[rounds.len() / 2]);
}

fn main() {
    println!("{:<34} {:>8} {:>8}   ms per second of audio", "", "least", "median");
    let mut extractor = FeatureExtractor::new(&FeatureOptions::default()).expect("the defaults");
    time("filterbank, to compare", |sound, _| {
        let mut features = Vec::new();
        extractor.compute(sound, &mut features);
        black_box(features);
    });
    time("speed 1.1", |sound, _| drop(black_box(change_speed(sound, 1.1))));
    time("tempo 1.1", |sound, _| drop(black_box(change_tempo(sound, 1.1, 16_000))));
    let noise = Noise { snr_db: [0.0, 20.0], probability: 1.0 };
    time("noise", |sound, random| {
        let mut samples = sound.to_vec();
        noise.apply(&mut samples, power(sound), random);
        black_box(samples);
    });
    let rooms = Reverberation { rt60: [0.5, 0.5], ..Reverberation::default() };
    let room = rooms.simulate(16_000, &mut Random::from_key(&[1])).expect("the defaults");
    let mut reverberator = Reverberator::default();
    time("reverberation, 0.5 s", |sound, _| {
        let mut samples = sound.to_vec();
        reverberator.apply(&mut samples, &room);
        black_box(samples);
    });
    let mut low_pass =
        LowPassFilter::new(&LowPass { cutoff_hz: [2000.0, 4000.0], probability: 1.0 }, 16_000);
    time("low-pass", |sound, random| {
        let mut samples = sound.to_vec();
        low_pass.apply(&mut samples, random);
        black_box(samples);
    });
    let mut telephone = TelephoneLine::new(&Telephone::default(), 16_000);
    time("telephone", |sound, random| {
        let mut samples = sound.to_vec();
        telephone.apply(&mut samples, random);
        black_box(samples);
    });
    println!("\nsimulating one room of the default sizes, ms:");
    for rt60 in [0.2, 0.5, 0.8] {
        let rooms = Reverberation { rt60: [rt60, rt60], ..Reverberation::default() };
        let mut rounds: Vec<f64> = (0..15)
            .map(|key| {
                let start = Instant::now();
                black_box(rooms.simulate(16_000, &mut Random::from_key(&[key])));
                1e3 * start.elapsed().as_secs_f64()
            })
            .collect();
        rounds.sort_by(f64::total_cmp);
        println!("rt60 {rt60} s: least {:.1}, median {:.1}", rounds[0], rounds[7]);
    }
}
