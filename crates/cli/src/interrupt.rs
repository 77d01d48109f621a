//! The last word of a long command that its user stops (Ctrl-C): how to go on.
//!
//! Nothing is saved then that would not be there after a `kill -9`: what a command promises for that holds
//! here by the same means. The program still ends by the signal, so that a shell's loop around it ends too.

/// Says `advice` when the user stops the program. Where the signal is ignored, as a shell does it for what
/// it runs behind the scenes, it stays so.
#[cfg(unix)]
pub fn advise(advice: impl Into<String>) {
    use signal_hook::consts::SIGINT;
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;

    if is_ignored(SIGINT) {
        return;
    }
    let advice = advice.into();
    // A system that has no room for a handler or a thread stops the program without a word, as ever.
    let Ok(mut signals) = Signals::new([SIGINT]) else { return };
    let _ = std::thread::Builder::new().name("interrupt".into()).spawn(move || {
        for signal in signals.forever() {
            // A terminal shows ^C, and perhaps a bar, in the line where the cursor stands.
            let line_feed = if crate::progress::on_a_terminal() { "\n" } else { "" };
            crate::output::remark(format_args!("{line_feed}stopped; {advice}"));
            let _ = emulate_default_handler(signal);
        }
    });
}

/// Elsewhere programs are stopped without a word.
#[cfg(not(unix))]
pub fn advise(_advice: impl Into<String>) {}

/// Whether this process was started with the signal ignored; only Linux tells.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal - 1)) != 0
}
