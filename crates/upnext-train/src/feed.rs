//! Plans of the steps to come, made in order on a thread of their own.

use std::sync::mpsc::SyncSender;

use upnext_data::{Batch, Batches};

use crate::Result;
use crate::device::{Laid, Layer};
use crate::plan::{Plan, Planner};

/// Plans that wait to be computed at most.
pub(crate) const AHEAD: usize = 2;

/// A plan and where in the data it stands.
pub(crate) struct Fed {
    pub(crate) plan: Plan,
    /// The plan on a device, where that computes it.
    pub(crate) laid: Option<Laid>,
    /// Where the next step stands: its epoch, and its batch within it.
    pub(crate) next: (u64, usize),
}

/// Makes plans, and lays them out where a device computes them.
pub(crate) struct Feeder<'a> {
    pub(crate) planner: Planner<'a>,
    pub(crate) layer: Option<Layer>,
}

impl Feeder<'_> {
    fn feed(&mut self, step: u64, batch: Batch, next: (u64, usize)) -> Result<Fed> {
        let plan = self.planner.plan(step, batch)?;
        let laid = self.layer.as_mut().map(|layer| layer.lay(&plan)).transpose()?;
        Ok(Fed { plan, laid, next })
    }
}

/// Sends the plans from batch `index` of `epoch`, which is step `step`, until `max_epochs` or `max_steps` are done or
/// nobody listens any more.
pub(crate) fn feed(
    batches: &Batches<'_>,
    mut feeder: Feeder<'_>,
    (mut step, mut epoch, mut index): (u64, u64, usize),
    (max_steps, max_epochs): (u64, u64),
    plans: &SyncSender<Result<Fed>>,
) {
    while epoch < max_epochs {
        let order = batches.epoch(epoch);
        while index < order.len() {
            if step >= max_steps {
                return;
            }
            let batch = order.batch(index);
            index += 1;
            let next = if index == order.len() { (epoch + 1, 0) } else { (epoch, index) };
            if plans.send(feeder.feed(step, batch, next)).is_err() {
                return;
            }
            step += 1;
        }
        (epoch, index) = (epoch + 1, 0);
    }
}
