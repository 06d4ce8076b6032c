//! Numbers that are not finite: skipped, rolled back, and given up on.

use super::*;

/// A run whose table is spoiled before the steps that `when` picks.
fn spoiled(config: &RunConfig, data: &Prepared, when: impl Fn(u64) -> bool) -> Done {
    let (keep, mut events) = (tempfile::tempdir().unwrap(), Vec::new());
    let dir = keep.path().join("run");
    let mut before = |step: u64, learner: &mut Learner| {
        if when(step) {
            learner.model.tables_mut().0.rows_mut().fill(f32::NAN);
        }
    };
    let mut see = |event: &Event| events.push(event.clone());
    let summary = train_watched(config, data, &dir, &options(), &mut see, &mut before);
    Done { summary, events, dir, _keep: Some(keep) }
}

#[test]
fn three_bad_steps_in_a_row_roll_back_and_the_run_goes_on() {
    let done = spoiled(&config(&[]), &data(1), |step| step == 8);
    let summary = done.summary();
    assert_eq!((summary.skipped, summary.rollbacks, summary.ended), (3, 1, Ended::MaxEpochs));
    let back = |event: &Event| matches!(event, Event::RolledBack { step: 11, to_step: 6, rollbacks: 1 });
    assert_eq!(done.count(back), 1, "to the validation before");
    assert!(done.losses().iter().all(|(_, bits)| f64::from_bits(*bits).is_finite()));
    assert!(folder::open(&done.dir.join("model")).is_ok());
}

#[test]
fn weights_that_stay_bad_end_the_run_after_three_rollbacks() {
    let done = spoiled(&config(&[("train.max_epochs", "9")]), &data(1), |step| step >= 2);
    let error = done.summary.as_ref().unwrap_err();
    assert!(matches!(error, Error::Diverged { step: 14, in_a_row: 3, rollbacks: 3 }), "{error}");
    assert_eq!(done.count(|event| matches!(event, Event::Skipped { .. })), 12);
    assert!(folder::open(&done.dir.join("model")).is_ok(), "the last good weights are kept");
}
