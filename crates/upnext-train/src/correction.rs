//! The three corrections of the sampled softmax: what is taken off each logit before the log-sum-exp.
//!
//! With s_p the logit of the true item p, s_j that of negative j, m_j the times it was drawn, k draws in all and q(j)
//! the probability of one draw, each row's loss is `-s_p + ln(e^{s_p} + Σ_j m_j e^{s_j} · w_j)`, j ≠ p, with
//!
//! - `none`: w = 1. Its best scores are those of the full softmax minus ln q, so it is right for uniform q alone.
//! - `logq`: w_j = 1 / (k q(j)). The sum estimates that over all j ≠ p without bias (Bengio & Senécal 2008).
//! - `rest`: w_j = (1 - q(p)) / (k_p q(j)), k_p = k - m_p. Once hits are dropped, the k_p other draws come from
//!   q'(j) = q(j) / (1 - q(p)), so each row's sum is estimated from what was really drawn for it (arXiv 2507.09331).
//!   The paper writes the loss as `stop_gradient(1 - P) · (-s_p + ln Z)`, Z the estimated sum over j ≠ p and
//!   P = e^{s_p} / (e^{s_p} + Z); the gradient of `-ln P` is the same, term by term, and its value is a cross-entropy.
//!
//! Draws without replacement have k q(j) as the probability of being drawn at all, so the same weights hold.

use crate::config::Correction;
use crate::negatives::{Draw, Sampler};
use crate::sampled_softmax::Candidates;

/// Candidates of a step under a correction, every row of which counts alike.
///
/// `targets` `(n)` are the true items; `target_rows` `(n)` and `negative_rows` (one a drawn id) are their rows in the
/// leaf that is scored.
#[must_use]
pub fn candidates(
    correction: Correction,
    sampler: &Sampler,
    draw: &Draw,
    targets: &[u32],
    target_rows: Vec<u32>,
    negative_rows: Vec<u32>,
) -> Candidates {
    let k = draw.draws as f64;
    let taken_off = |(&id, &times): (&u32, &u32)| {
        let (log_q, log_m) = (f64::from(sampler.log_q(id)), f64::from(times).ln());
        let log_kq = match correction {
            Correction::None => 0.0,
            Correction::Logq => k.ln() + log_q,
            Correction::Rest => log_q,
        };
        (log_kq - log_m) as f32
    };
    let log_kq = draw.ids.iter().zip(&draw.times).map(taken_off).collect();
    let raised = match correction {
        Correction::None | Correction::Logq => Vec::new(),
        Correction::Rest => targets.iter().map(|&target| rest_raise(sampler, draw, target)).collect(),
    };
    Candidates { targets: target_rows, negatives: negative_rows, log_kq, raised, shares: Vec::new() }
}

/// `ln((1 - q(p)) / k_p)`: what `rest` adds to all of a row's negatives; 0 when none is left.
fn rest_raise(sampler: &Sampler, draw: &Draw, target: u32) -> f32 {
    let hits = draw.ids.binary_search(&target).map_or(0, |at| draw.times[at]);
    let left = draw.draws as f64 - f64::from(hits);
    let raise = (-f64::from(sampler.log_q(target)).exp()).ln_1p() - left.ln();
    if raise.is_finite() { raise as f32 } else { 0.0 }
}
