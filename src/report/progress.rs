//! How far a long pool is, for people who wait at a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A check that is done before shows no bar.
const PATIENCE: Duration = Duration::from_secs(1);

/// A bar on the terminal that appears after a second, and is gone when it is dropped.
#[derive(Default)]
pub struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// So many of `total` targets have ended, so long after the start of the program.
    pub fn advance(&mut self, ended: u128, total: u128, elapsed: Duration) {
        if elapsed >= PATIENCE {
            self.bar.get_or_insert_with(|| bar(total)).set_position(count(ended));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: u128) -> ProgressBar {
    let template = "{bar:40} {pos} of {len} targets, {eta} left";
    let style = ProgressStyle::with_template(template).expect("a template that does not change");
    ProgressBar::new(count(total)).with_style(style)
}

fn count(targets: u128) -> u64 {
    targets.try_into().unwrap_or(u64::MAX)
}
