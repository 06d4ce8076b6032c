//! The learning rate of a step.

use crate::config::{Schedule, TrainConfig};

/// The learning rate of step `step`, counted from 0, of a run of at most `total` steps.
///
/// It rises linearly over the warm-up, reaching `lr` at its last step; then it stays, or falls along half a cosine
/// (Loshchilov & Hutter 2017, arXiv 1608.03983) that would reach 0 at step `total`.
///
/// ```
/// # use upnext_train::{config::{Schedule, TrainConfig}, schedule::learning_rate};
/// let config = TrainConfig { lr: 0.8, warmup_steps: 4, schedule: Schedule::Cosine, ..TrainConfig::default() };
/// let rates: Vec<f64> = [0, 1, 3, 4, 8, 12].map(|step| learning_rate(&config, step, 12)).into();
/// let expected = [0.2, 0.4, 0.8, 0.8, 0.4, 0.0];
/// assert!(rates.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-12));
/// ```
#[must_use]
pub fn learning_rate(config: &TrainConfig, step: u64, total: u64) -> f64 {
    let warmup = config.warmup_steps;
    if step < warmup {
        return config.lr * (step + 1) as f64 / warmup as f64;
    }
    match config.schedule {
        Schedule::Constant => config.lr,
        Schedule::Cosine => {
            let length = total.saturating_sub(warmup).max(1);
            let done = ((step - warmup) as f64 / length as f64).min(1.0);
            config.lr * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_rate_stays_after_warm_up_however_long_the_run() {
        let config = TrainConfig { lr: 1e-3, warmup_steps: 10, ..TrainConfig::default() };
        assert_eq!(learning_rate(&config, 9, 11), 1e-3);
        assert_eq!(learning_rate(&config, 1 << 40, 11), 1e-3);
    }

    #[test]
    fn without_warm_up_the_first_step_has_the_whole_rate() {
        let config = TrainConfig { lr: 0.5, warmup_steps: 0, ..TrainConfig::default() };
        assert_eq!(learning_rate(&config, 0, 1), 0.5);
    }

    #[test]
    fn a_warm_up_longer_than_the_run_still_rises() {
        let config =
            TrainConfig { lr: 1.0, warmup_steps: 100, schedule: Schedule::Cosine, ..TrainConfig::default() };
        assert!((0..50).all(|step| learning_rate(&config, step, 50) == (step + 1) as f64 / 100.0));
    }
}
