//! What is to be known before the lists of a model by a method are believed.

use std::fmt;

use crate::{Generator, Method};

/// Why the scores of a method's lists are not what they look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Caveat {
    /// The model was trained on all horizons merged: it says what comes soon, in any order. A list that grows item by item
    /// adds up such log-probabilities as if each was the next item's, and reads its own items as already watched.
    Merged,
}

impl fmt::Display for Caveat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Merged => f.write_str(
                "this model was trained with merge_horizons: it says what comes soon, not what comes next, so the scores of \
                 lists that grow item by item are not probabilities of next items; top-k is the method for it",
            ),
        }
    }
}

impl Generator {
    /// What is to be known before this model's lists by a method are believed; mostly nothing.
    #[must_use]
    pub fn caveat(&self, method: Method) -> Option<Caveat> {
        let grows = !matches!(method, Method::TopK | Method::MultiToken);
        (grows && self.config().merge_horizons).then_some(Caveat::Merged)
    }
}
