//! The report of `check` as one HTML page: what the sets hold, how it is distributed, what was found, and
//! the suspicious utterances to look at and to listen to.
//!
//! It stays below some eight megabytes whatever the corpus: [`SUSPECTS`] recordings at most, of each a few
//! seconds.

mod charts;
mod suspects;

use super::finding::{Finding, Severity, percent, plural};
use super::norms::characters_per_second;
use super::recordings::shared_files;
use super::sets::{pairs, shared_sentences, shared_speakers};
use super::survey::Set;
use super::{CheckError, Checked};
use crate::clip::{ClipFault, read_clip};
use crate::page::{self, Clip, END, escape, time};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use suspects::Suspect;

/// Utterances that are shown.
const SUSPECTS: usize = 40;

/// Bytes of sound in the page; base64 makes a third more of them.
const SOUND: usize = 4 << 20;

/// Findings of one kind that are listed, and of these that are seen at once.
const LISTED: usize = 100;
const OPEN: usize = 3;

/// Speakers that have a bar of their own.
const SPEAKERS: usize = 24;

/// The colour of a set.
fn class(set: &str) -> &'static str {
    match set {
        "train" => "train",
        "dev" => "dev",
        "test" => "test",
        _ => "other",
    }
}

fn severity_class(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "is-error",
        Severity::Warning => "is-warning",
    }
}

/// The last part of a path, also of `.`.
fn name_of(path: &Path) -> String {
    let whole = path.canonicalize();
    let name = path.file_name().or_else(|| whole.as_ref().ok()?.file_name());
    name.map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

impl Checked {
    /// The report as an HTML page.
    ///
    /// # Errors
    /// [`CheckError::Disk`] where the disk fails while the suspicious recordings are read again.
    pub fn page(&self) -> Result<String, CheckError> {
        let report = &self.report;
        let target = escape(&report.target.display().to_string());
        let mut html = page::begin(&format!("check of {}", report.target.display()));
        let title = report.corpus.as_ref().map(|corpus| escape(&corpus.title));
        let _ = write!(
            html,
            "<h1>{}</h1><p class=\"soft\">labyrinth check of <bdi>{target}</bdi></p>",
            title.unwrap_or_else(|| escape(&name_of(&report.target)))
        );
        self.verdict(&mut html);
        self.totals(&mut html);
        self.charts(&mut html);
        self.speakers(&mut html);
        self.overlaps(&mut html);
        self.kinds(&mut html);
        self.suspects(&mut html)?;
        html.push_str("<footer>Written by <code>labyrinth check --html</code>.</footer>");
        html.push_str(END);
        Ok(html)
    }

    fn verdict(&self, html: &mut String) {
        let (errors, warnings) = (self.report.errors(), self.report.warnings());
        html.push_str("<p class=\"verdict\">");
        if errors + warnings == 0 {
            html.push_str("<span class=\"is-good\">nothing was found</span>");
        }
        if errors > 0 {
            let _ = write!(html, "<span class=\"is-error\">{}</span>", plural(errors, "error"));
        }
        if warnings > 0 {
            let text = plural(warnings, "warning");
            let _ = write!(html, "<span class=\"is-warning\">{text}</span>");
        }
        html.push_str(
            "</p><p class=\"soft\">An error spoils a training or its figure; a warning is worth \
             knowing. <a href=\"#findings\">Findings</a> · \
             <a href=\"#suspicious\">suspicious utterances</a></p>",
        );
    }

    fn totals(&self, html: &mut String) {
        html.push_str(
            "<h2>Sets</h2><div class=\"card scroll\"><table><tr><th>set</th><th class=\"number\">utterances</th>\
             <th class=\"number\">sound</th><th class=\"number\">mean</th><th class=\"number\">speakers</th>\
             <th class=\"number\">words</th><th class=\"number\">different words</th>\
             <th>sample rates</th></tr>",
        );
        for (set, summary) in self.sets.iter().zip(&self.report.sets) {
            let words = || set.manifest.utterances.iter().flat_map(|u| u.text.split_whitespace());
            let different: std::collections::HashSet<&str> = words().collect();
            let mut rates: BTreeMap<u32, usize> = BTreeMap::new();
            let mut heard = 0;
            for (_, sound) in set.heard() {
                *rates.entry(sound.sample_rate).or_insert(0) += 1;
                heard += 1;
            }
            let rates: Vec<String> = rates
                .iter()
                .map(|(rate, count)| match *count == heard {
                    true => format!("{rate} Hz"),
                    false => format!("{rate} Hz ({count})"),
                })
                .collect();
            let _ = write!(
                html,
                "<tr><td class=\"name\"><bdi>{}</bdi></td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
                 <td class=\"number\">{:.2} s</td><td class=\"number\">{}</td><td class=\"number\">{}</td>\
                 <td class=\"number\">{}</td><td>{}</td></tr>",
                escape(&summary.name),
                summary.utterances,
                time(summary.seconds),
                summary.seconds / heard.max(1) as f64,
                summary.speakers,
                words().count(),
                different.len(),
                rates.join(", ")
            );
        }
        html.push_str("</table></div>");
    }

    fn charts(&self, html: &mut String) {
        let sets: Vec<(&str, &str)> =
            self.sets.iter().map(|set| (set.name.as_str(), class(&set.name))).collect();
        let values = |of: fn(&crate::Utterance, &super::sound::Sound) -> f64| -> Vec<(usize, f64)> {
            let places = self.sets.iter().enumerate();
            places
                .flat_map(|(place, set)| set.heard().map(move |(u, s)| (place, of(u, s))))
                .collect()
        };
        html.push_str("<h2>Distributions</h2>");
        legend(&sets, html);
        html.push_str("<div class=\"charts\">");
        let durations = values(|_, sound| sound.seconds);
        *html += &charts::histogram("Durations", "seconds", &sets, &durations, true);
        let paces = values(|utterance, sound| {
            let silent = sound.is_silent();
            if silent { f64::NAN } else { characters_per_second(&utterance.text, sound.speech()) }
        });
        let unit = "characters a second of speech";
        *html += &charts::histogram("Characters per second", unit, &sets, &paces, true);
        // Digital silence would stretch the axis to -200 dB.
        let levels = values(|_, sound| f64::from(sound.level_db).max(-90.0));
        *html += &charts::histogram(
            "Levels (root mean square)",
            "dB of full scale",
            &sets,
            &levels,
            false,
        );
        let peaks = values(|_, sound| 20.0 * f64::from(sound.peak.max(3e-5)).log10());
        *html += &charts::histogram("Peaks", "dB of full scale", &sets, &peaks, false);
        html.push_str("</div>");
    }

    fn speakers(&self, html: &mut String) {
        let mut seconds: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        let mut nameless = 0;
        for (place, set) in self.sets.iter().enumerate() {
            for (utterance, sound) in set.heard() {
                let Some(speaker) = utterance.speaker.as_deref() else {
                    nameless += 1;
                    continue;
                };
                let of_sets = seconds.entry(speaker).or_insert_with(|| vec![0.0; self.sets.len()]);
                of_sets[place] += sound.seconds;
            }
        }
        html.push_str("<h2>Speakers</h2><div class=\"card\">");
        let total = |of_sets: &Vec<f64>| of_sets.iter().sum::<f64>();
        let mut speakers: Vec<(&str, Vec<f64>)> = seconds.into_iter().collect();
        speakers.sort_by(|a, b| total(&b.1).total_cmp(&total(&a.1)));
        let most = speakers.first().map_or(0.0, |(_, of_sets)| total(of_sets)).max(1e-9);
        html.push_str("<table class=\"bars\">");
        for (speaker, of_sets) in speakers.iter().take(SPEAKERS) {
            let _ = write!(
                html,
                "<tr><td><bdi>{}</bdi></td><td><span class=\"track\">",
                escape(speaker)
            );
            for (set, seconds) in self.sets.iter().zip(of_sets).filter(|(_, s)| **s > 0.0) {
                let _ = write!(
                    html,
                    "<i class=\"{}\" style=\"width:{:.2}%\" title=\"{}: {}\"></i>",
                    class(&set.name),
                    100.0 * seconds / most,
                    escape(&set.name),
                    time(*seconds)
                );
            }
            let _ =
                write!(html, "</span></td><td class=\"number\">{}</td></tr>", time(total(of_sets)));
        }
        html.push_str("</table>");
        if speakers.len() > SPEAKERS {
            let rest: f64 = speakers[SPEAKERS..].iter().map(|(_, of_sets)| total(of_sets)).sum();
            let more = plural(speakers.len() - SPEAKERS, "speaker");
            let _ =
                write!(html, "<p class=\"soft\">and {more} more with {} in all</p>", time(rest));
        }
        if nameless > 0 {
            let text = plural(nameless, "utterance");
            let _ = write!(html, "<p class=\"soft\">{text} without a speaker's name</p>");
        }
        html.push_str("</div>");
    }

    fn overlaps(&self, html: &mut String) {
        if self.sets.len() < 2 {
            return;
        }
        html.push_str(
            "<h2>Overlaps between sets</h2><div class=\"card scroll\"><table><tr><th>of</th><th>also in</th>\
             <th class=\"number\">speakers</th><th class=\"number\">utterances with a sentence of it</th>\
             <th class=\"number\">sections of its recordings</th></tr>",
        );
        for (earlier, later) in pairs(&self.sets) {
            let count = later.manifest.utterances.len();
            let sentences = shared_sentences(earlier, later, None);
            let (sections, _, _) = shared_files(earlier, later);
            let share = |part| match part {
                0 => "none".to_owned(),
                part => format!("{part} ({:.1} %)", percent(part, count)),
            };
            let speakers = match shared_speakers(earlier, later).len() {
                0 => "none".to_owned(),
                both => format!("{both} of {}", later.manifest.speakers().len()),
            };
            let _ = write!(
                html,
                "<tr><td><bdi>{}</bdi></td><td><bdi>{}</bdi></td><td class=\"number\">{speakers}</td>\
                 <td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
                escape(&later.name),
                escape(&earlier.name),
                share(sentences),
                share(sections)
            );
        }
        html.push_str("</table></div>");
    }

    fn kinds(&self, html: &mut String) {
        html.push_str("<h2 id=\"findings\">Findings</h2>");
        if self.report.findings.is_empty() {
            html.push_str("<p class=\"card\">None.</p>");
            return;
        }
        html.push_str(
            "<div class=\"card scroll\"><table><tr><th>kind</th><th class=\"number\">count</th>\
             <th>what it means, and what to do</th></tr>",
        );
        for group in self.report.groups() {
            let Finding { severity, kind, .. } = &group[0];
            let _ = write!(
                html,
                "<tr><td><span class=\"mark {}\">{}</span></td><td class=\"number\">{}</td>\
                 <td>{} <span class=\"soft\">{}</span><ul>",
                severity_class(*severity),
                kind.code(),
                group.len(),
                escape(kind.meaning()),
                escape(kind.advice()),
            );
            for (place, finding) in group.iter().take(LISTED).enumerate() {
                if place == OPEN {
                    let more = group.len() - OPEN;
                    let _ = write!(html, "</ul><details><summary>{more} more</summary><ul>");
                }
                let id = finding.id.iter().map(|id| format!(" {}", escape(id))).collect::<String>();
                let (set, detail) = (escape(&finding.set), escape(&finding.detail));
                let _ = write!(html, "<li><bdi>{set}{id}: {detail}</bdi></li>");
            }
            if group.len() > LISTED {
                let _ = write!(html, "<li>and {} more</li>", group.len() - LISTED);
            }
            html.push_str(if group.len() > OPEN { "</ul></details>" } else { "</ul>" });
            html.push_str("</td></tr>");
        }
        html.push_str("</table></div>");
    }

    fn suspects(&self, html: &mut String) -> Result<(), CheckError> {
        let suspects = suspects::choose(&self.report, SUSPECTS);
        if suspects.is_empty() {
            return Ok(());
        }
        let all: std::collections::HashSet<(&str, &str)> = self
            .report
            .findings
            .iter()
            .filter_map(|finding| Some((finding.set.as_str(), finding.id.as_deref()?)))
            .collect();
        html.push_str("<h2 id=\"suspicious\">Suspicious utterances</h2>");
        if all.len() > suspects.len() {
            let (shown, all) = (suspects.len(), all.len());
            let _ = write!(
                html,
                "<p class=\"soft\">{shown} of {all} with a finding of their own, some of each kind.</p>"
            );
        }
        let mut left = SOUND;
        for suspect in &suspects {
            self.suspect(suspect, &mut left, html)?;
        }
        Ok(())
    }

    /// One utterance; `left` bytes of sound still fit into the page.
    fn suspect(
        &self,
        suspect: &Suspect<'_>,
        left: &mut usize,
        html: &mut String,
    ) -> Result<(), CheckError> {
        let set = self.sets.iter().find(|set| set.name == suspect.set);
        let found = set.and_then(|set: &Set| {
            let place = set.manifest.utterances.iter().position(|u| u.id == suspect.id)?;
            Some((set, &set.manifest.utterances[place], set.sounds.get(place)?.as_ref()))
        });
        html.push_str("<article class=\"card suspect\"><div>");
        let clip = match found {
            Some((set, utterance, Some(sound))) => {
                match read_clip(set.manifest.folder(), utterance) {
                    // From half a second before the speech on.
                    Ok(audio) => Some(Clip::of(&audio, f64::from(sound.silence[0]) - 0.5)),
                    Err(ClipFault::Refused { .. }) => None,
                    Err(ClipFault::Disk { path, source }) => {
                        return Err(CheckError::Disk { path, source });
                    }
                }
            }
            _ => None,
        };
        match clip {
            Some(clip) => {
                *html += &clip.waveform();
                match left.checked_sub(clip.bytes()) {
                    Some(rest) => {
                        *left = rest;
                        *html += &clip.player();
                    }
                    None => html.push_str("<small>the page has no room for more sound</small>"),
                }
            }
            None => html.push_str("<div class=\"mute\">there is no sound to play</div>"),
        }
        let _ = write!(
            html,
            "</div><div><small><bdi>{} {}</bdi>",
            escape(suspect.set),
            escape(suspect.id)
        );
        if let Some((_, utterance, sound)) = found {
            if let Some(speaker) = &utterance.speaker {
                let _ = write!(html, ", speaker <bdi>{}</bdi>", escape(speaker));
            }
            if let Some(sound) = sound {
                let _ = write!(html, ", {:.2} s, {} Hz", sound.seconds, sound.sample_rate);
                if sound.channels > 1 {
                    let _ = write!(html, ", {} channels", sound.channels);
                }
                if sound.seconds > page::SECONDS {
                    let _ = write!(html, ", {:.0} s of it here", page::SECONDS);
                }
            }
            let _ = write!(
                html,
                "</small><p class=\"said\"><bdi>{}</bdi></p>",
                escape(&utterance.text)
            );
        } else {
            html.push_str("</small>");
        }
        html.push_str("<ul>");
        for finding in &suspect.findings {
            let _ = write!(
                html,
                "<li><span class=\"mark {}\">{}</span> <bdi>{}</bdi></li>",
                severity_class(finding.severity),
                finding.kind.code(),
                escape(&finding.detail)
            );
        }
        html.push_str("</ul></div></article>\n");
        Ok(())
    }
}

fn legend(sets: &[(&str, &str)], html: &mut String) {
    html.push_str("<p class=\"legend\">");
    for (name, class) in sets {
        let _ = write!(html, "<span><i class=\"{class}\"></i>{}</span>", escape(name));
    }
    html.push_str("</p>");
}
