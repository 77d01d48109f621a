//! `labyrinth report`: a training as a page to look at and to listen to.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use labyrinth_train::write_report;

use crate::failure::Failure;
use crate::machine::IsaOption;
use crate::output;
use crate::progress::Progress;

/// Arguments of `labyrinth report`.
#[derive(Args)]
#[command(after_help = "\
Every training that comes to its end writes this page; the command writes it for one that is under
way or was cut off, and anew after a change of the dev set. It is one file, without a script, that
needs nothing from elsewhere: curves, where the letters fire, the worst utterances with their
sound, confusions, data, recipe, machine.

Examples:
  labyrinth report runs/an4")]
pub struct Report {
    /// The run directory.
    run: PathBuf,
    #[command(flatten)]
    isa: IsaOption,
}

impl Report {
    /// Writes the page and names it.
    pub fn run(self) -> Result<ExitCode, Failure> {
        let cpu = self.isa.cpu()?;
        let progress = Progress::new("recognising dev");
        let written = write_report(&self.run, cpu, &mut |done, total| progress.at(done, total));
        progress.finish();
        let written = written?;
        if let Some(reason) = &written.untried {
            output::complain(reason);
        }
        output::line(written.path.display())?;
        Ok(ExitCode::SUCCESS)
    }
}
