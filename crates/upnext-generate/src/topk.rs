//! One pass: the most probable next items, all from the state after the history.

use std::borrow::Cow;

use crate::plan::Plan;
use crate::score::{Answer, Ask, Engine};

/// Answers plans that have a prompt and at least one place, together.
pub(crate) fn answer(plans: &[&Plan], engine: Engine<'_>) -> Vec<Answer> {
    let prompts: Vec<_> = plans.iter().map(|plan| plan.prompt.as_slice()).collect();
    let states_br = match engine.prefill(&prompts, None) {
        Ok(states) => states,
        Err(error) => return vec![Err(error); plans.len()],
    };
    let asks: Vec<Ask<'_>> = plans
        .iter()
        .zip(states_br.chunks_exact(engine.vectors.rank()))
        .map(|(plan, state)| Ask {
            state,
            eligible: Cow::Borrowed(&plan.eligible),
            adjustment: plan.adjustment,
            k: plan.places,
            given: None,
        })
        .collect();
    engine.rank(&asks)
}
