//! Sets our pitch beside the rows that `tests/golden/make_pitch.py RECORDINGS FOLDER` wrote, and
//! prints a line per set of options: how far the values differ, and how fast ours were computed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use labyrinth_signal::{PitchExtractor, PitchOptions};

/// Sums over the recordings of one set of options.
#[derive(Default)]
struct Agreement {
    recordings: usize,
    frames: usize,
    nccf: f64,
    nccf_same_pitch: f64,
    pitch: f64,
    near_nccf: usize,
    near_pitch: usize,
    same_state: usize,
    worst: String,
    seconds: f64,
    computing: f64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("name the folder of rows")?);
    let mut cases: BTreeMap<String, Agreement> = BTreeMap::new();
    let mut entries: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    entries.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    entries.sort();
    for path in entries {
        let text = std::fs::read_to_string(&path)?;
        let name = text.lines().next().unwrap_or_default().trim_start_matches("# ").to_string();
        let options: PitchOptions = toml::from_str(&text)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let number = stem.split('.').next().unwrap_or_default();
        let samples: Vec<f32> = std::fs::read(folder.join(format!("{number}.raw")))?
            .chunks_exact(2)
            .map(|word| f32::from(i16::from_le_bytes([word[0], word[1]])) / 32768.0)
            .collect();
        let theirs: Vec<f32> = std::fs::read(path.with_extension("rows"))?
            .chunks_exact(4)
            .map(|word| f32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        let mut extractor = PitchExtractor::new(&options)?;
        let mut ours = Vec::new();
        let start = Instant::now();
        extractor.compute(&samples, &mut ours)?;
        let computing = start.elapsed().as_secs_f64();
        let case = cases.entry(name).or_default();
        case.computing += computing;
        case.seconds += samples.len() as f64 / f64::from(options.sample_frequency);
        case.recordings += 1;
        if ours.len() != theirs.len() {
            return Err(format!("{stem}: {} rows, not {}", ours.len() / 2, theirs.len() / 2).into());
        }
        for (frame, (ours, theirs)) in ours.chunks(2).zip(theirs.chunks(2)).enumerate() {
            let nccf = f64::from((ours[0] - theirs[0]).abs());
            let pitch = f64::from((ours[1] - theirs[1]).abs() / theirs[1]);
            case.frames += 1;
            if pitch > case.pitch {
                case.worst = format!("{stem} frame {frame}: {ours:?}, not {theirs:?}");
            }
            case.nccf = case.nccf.max(nccf);
            case.pitch = case.pitch.max(pitch);
            case.near_nccf += usize::from(nccf <= 1e-3 * f64::from(theirs[0].abs()).max(1e-3));
            case.near_pitch += usize::from(pitch <= 1e-3);
            if pitch < 1e-6 {
                case.same_state += 1;
                case.nccf_same_pitch = case.nccf_same_pitch.max(nccf);
            }
        }
    }
    println!(
        "options, recordings, frames, largest |nccf| difference (where the pitch is the same), \
         largest relative pitch difference, share of frames within 1e-3: nccf, pitch; same pitch; \
         real-time factor"
    );
    for (name, case) in &cases {
        let share = |count: usize| 100.0 * count as f64 / case.frames as f64;
        println!(
            "{name}: {} recordings, {} frames, {:.1e} ({:.1e}), {:.1e}, {:.3} %, {:.3} %, {:.3} %, {:.5}",
            case.recordings,
            case.frames,
            case.nccf,
            case.nccf_same_pitch,
            case.pitch,
            share(case.near_nccf),
            share(case.near_pitch),
            share(case.same_state),
            case.computing / case.seconds,
        );
        if !case.worst.is_empty() {
            println!("    worst: {}", case.worst);
        }
    }
    Ok(())
}
