//! The archives that `prepare --download` can fetch: where they lie and what their digests are.
//!
//! Only corpora whose terms allow everybody to fetch them, whose archives this program can unpack (tar,
//! packed by gzip), and whose SHA-256 is published. Digests and addresses are facts taken from
//! torchaudio's dataset sources (torchaudio 2.11: `librispeech.py`, `yesno.py`, `speechcommands.py`,
//! `tedlium.py`). What stands there and not here: CMU ARCTIC is packed by bzip2, VCTK is a zip file that
//! is served over TLS alone, and the third release of TED-LIUM makes its split of links, which are not
//! unpacked.

use super::CorpusInfo;
use crate::download::RemoteFile;

/// An archive of a corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishedArchive {
    /// As `--part` names it.
    pub part: &'static str,
    /// The folder it lies in, without a slash at the end.
    pub base: &'static str,
    /// Its name there.
    pub name: &'static str,
    /// 64 hexadecimal digits.
    pub sha256: &'static str,
}

/// What of a corpus can be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// In the order of the help.
    pub archives: &'static [PublishedArchive],
    /// The one that is fetched where none is named.
    pub usual: Option<&'static str>,
    /// Several of them make one corpus; otherwise each is a corpus of its own.
    pub together: bool,
}

const LIBRISPEECH: [PublishedArchive; 7] = [
    PublishedArchive {
        part: "train-clean-100",
        base: "http://www.openslr.org/resources/12",
        name: "train-clean-100.tar.gz",
        sha256: "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2",
    },
    PublishedArchive {
        part: "train-clean-360",
        base: "http://www.openslr.org/resources/12",
        name: "train-clean-360.tar.gz",
        sha256: "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf",
    },
    PublishedArchive {
        part: "train-other-500",
        base: "http://www.openslr.org/resources/12",
        name: "train-other-500.tar.gz",
        sha256: "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2",
    },
    PublishedArchive {
        part: "dev-clean",
        base: "http://www.openslr.org/resources/12",
        name: "dev-clean.tar.gz",
        sha256: "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3",
    },
    PublishedArchive {
        part: "dev-other",
        base: "http://www.openslr.org/resources/12",
        name: "dev-other.tar.gz",
        sha256: "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365",
    },
    PublishedArchive {
        part: "test-clean",
        base: "http://www.openslr.org/resources/12",
        name: "test-clean.tar.gz",
        sha256: "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23",
    },
    PublishedArchive {
        part: "test-other",
        base: "http://www.openslr.org/resources/12",
        name: "test-other.tar.gz",
        sha256: "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29",
    },
];

const YESNO: [PublishedArchive; 1] = [PublishedArchive {
    part: "waves",
    base: "http://www.openslr.org/resources/1",
    name: "waves_yesno.tar.gz",
    sha256: "c3f49e0cca421f96b75b41640749167b52118f232498667ca7a5f9416aef8e73",
}];

const SPEECH_COMMANDS: [PublishedArchive; 2] = [
    PublishedArchive {
        part: "v0.02",
        base: "http://download.tensorflow.org/data",
        name: "speech_commands_v0.02.tar.gz",
        sha256: "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
    },
    PublishedArchive {
        part: "v0.01",
        base: "http://download.tensorflow.org/data",
        name: "speech_commands_v0.01.tar.gz",
        sha256: "743935421bb51cccdb6bdd152e04c5c70274e935c82119ad7faeec31780d811d",
    },
];

const TED_LIUM: [PublishedArchive; 2] = [
    PublishedArchive {
        part: "release-2",
        base: "http://www.openslr.org/resources/19",
        name: "TEDLIUM_release2.tar.gz",
        sha256: "93281b5fcaaae5c88671c9d000b443cb3c7ea3499ad12010b3934ca41a7b9c58",
    },
    PublishedArchive {
        part: "release-1",
        base: "http://www.openslr.org/resources/7",
        name: "TEDLIUM_release1.tar.gz",
        sha256: "30301975fd8c5cac4040c261c0852f57cfa8adbbad2ce78e77e4986957445f27",
    },
];

impl CorpusInfo {
    /// What of this corpus can be fetched; `None` where nothing can.
    pub fn published_archives(&self) -> Option<Published> {
        let published = |archives, usual, together| Some(Published { archives, usual, together });
        match self.name {
            "librispeech" => published(&LIBRISPEECH, None, true),
            "yesno" => published(&YESNO, Some("waves"), false),
            "speech-commands" => published(&SPEECH_COMMANDS, Some("v0.02"), false),
            "tedlium" => published(&TED_LIUM, None, false),
            _ => None,
        }
    }
}

impl PublishedArchive {
    /// Its description for a download, from the publisher or from a mirror's folder.
    pub fn at(&self, mirror: Option<&str>) -> RemoteFile {
        let base = mirror.unwrap_or(self.base).trim_end_matches('/');
        RemoteFile {
            name: self.name.to_owned(),
            url: format!("{base}/{}", self.name),
            sha256: self.sha256.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::prepare::CORPORA;
    use std::collections::BTreeSet;

    #[test]
    fn every_archive_is_described_well_and_only_once() {
        let mut names = BTreeSet::new();
        let mut digests = BTreeSet::new();
        for info in CORPORA {
            let Some(published) = info.published_archives() else { continue };
            let parts: Vec<_> = published.archives.iter().map(|archive| archive.part).collect();
            assert_eq!(parts.iter().collect::<BTreeSet<_>>().len(), parts.len());
            assert!(published.usual.is_none_or(|usual| parts.contains(&usual)));
            for archive in published.archives {
                assert!(names.insert(archive.name) && digests.insert(archive.sha256));
                assert!(archive.base.starts_with("http://") && !archive.base.ends_with('/'));
                assert_eq!(archive.sha256.len(), 64);
                assert!(archive.sha256.bytes().all(|b| b"0123456789abcdef".contains(&b)));
                // What `prepare` unpacks, and a name that stays in its folder.
                assert!(archive.name.ends_with(".tar.gz") && !archive.name.contains(['/', '\\']));
            }
        }
        assert_eq!(names.len(), 12);
    }

    #[test]
    fn a_mirror_takes_the_place_of_the_folder() {
        let yesno = crate::CorpusInfo::named("yesno").unwrap().published_archives().unwrap();
        let file = yesno.archives[0].at(Some("http://127.0.0.1:8000/x/"));
        assert_eq!(file.url, "http://127.0.0.1:8000/x/waves_yesno.tar.gz");
        let url = "http://www.openslr.org/resources/1/waves_yesno.tar.gz";
        assert_eq!(yesno.archives[0].at(None).url, url);
    }
}
