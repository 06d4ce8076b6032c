//! Plans of the steps to come, made in order on a thread of their own.

use std::sync::mpsc::SyncSender;

use upnext_data::Batches;

use crate::Result;
use crate::device::{Laid, Layer};
use crate::plan::{Plan, Planner};

/// Plans that wait to be computed at most.
pub(crate) const AHEAD: usize = 2;

/// A plan and where in the data it stands.
pub(crate) struct Fed {
    pub(crate) plan: Plan,
    /// The plan on a device, where that computes it.
    pub(crate) laid: Option<Result<Laid>>,
    /// Where the next step stands: its epoch, and its batch within it.
    pub(crate) next: (u64, usize),
}

/// Makes plans, and lays them out where a device computes them.
pub(crate) struct Feeder {
    pub(crate) planner: Planner,
    pub(crate) layer: Option<Layer>,
}

/// Sends the plans from batch `index` of `epoch`, which is step `step`, until `max_epochs` or `max_steps` are done or
/// nobody listens any more.
pub(crate) fn feed(
    batches: &Batches<'_>,
    mut feeder: Feeder,
    (mut step, mut epoch, mut index): (u64, u64, usize),
    (max_steps, max_epochs): (u64, u64),
    plans: &SyncSender<Fed>,
) {
    while epoch < max_epochs {
        let order = batches.epoch(epoch);
        while index < order.len() {
            if step >= max_steps {
                return;
            }
            let plan = feeder.planner.plan(step, order.batch(index));
            let laid = feeder.layer.as_mut().map(|layer| layer.lay(&plan));
            (step, index) = (step + 1, index + 1);
            let next = if index == order.len() { (epoch + 1, 0) } else { (epoch, index) };
            if plans.send(Fed { plan, laid, next }).is_err() {
                return;
            }
        }
        (epoch, index) = (epoch + 1, 0);
    }
}
