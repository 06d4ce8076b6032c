//! Users and items with too few events, left out again and again until all have enough (the k-core of RecBole and
//! many papers).

use crate::error::{Error, Result};
use crate::options::{Listener, PrepareOptions, Progress, tell};
use crate::runs::{Run, merge};
use crate::spool::Room;

/// Which items stay; users stay that have enough events of these.
pub(crate) struct Kept {
    /// Of each item by its number.
    pub(crate) items: Vec<bool>,
    /// Events that a user must have.
    pub(crate) min_user_events: u64,
}

/// Finds them. Each round reads all events once; without bounds there is none.
pub(crate) fn thin(
    runs: &[Run],
    items: usize,
    options: &PrepareOptions,
    room: &Room,
    listener: &mut Listener<'_>,
) -> Result<Kept> {
    let (min_user_events, min_item_events) = (options.min_user_events, options.min_item_events);
    let mut kept = Kept { items: vec![true; items], min_user_events };
    if min_user_events.max(min_item_events) <= 1 {
        return Ok(kept);
    }
    for round in 1.. {
        tell(listener, Progress::Thinning { round })?;
        let mut counts = vec![0_u64; items];
        merge(runs, room, |user| {
            user.retain(&kept.items);
            if user.items.len() as u64 >= min_user_events {
                user.items.iter().for_each(|&item| counts[item as usize] += 1);
            }
            Ok(())
        })?;
        let mut changed = false;
        for (kept, &count) in kept.items.iter_mut().zip(&counts) {
            let stays = *kept && count >= min_item_events.max(1);
            changed |= *kept != stays;
            *kept = stays;
        }
        if !changed {
            break;
        }
    }
    if kept.items.contains(&true) {
        Ok(kept)
    } else {
        Err(Error::NothingLeft { users: min_user_events, items: min_item_events })
    }
}
