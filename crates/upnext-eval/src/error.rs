//! What can go wrong in an evaluation.

/// An evaluation that could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is nothing to average over.
    #[error("there are no questions to evaluate: no user has enough events under this protocol")]
    NoQuestions,
    /// A question has no input; protocols never ask one.
    #[error("user {user} is asked a question with an empty input; drop users without earlier events")]
    EmptyInput {
        /// Dense number of the user, or position in the batch where no user is known.
        user: usize,
    },
    /// A question without a held-out event, or one that reaches past the user's history.
    #[error("the question of user {user} holds out events {start}.. which the history of {events} lacks")]
    NoTarget {
        /// Dense number of the user.
        user: usize,
        /// First held-out event.
        start: usize,
        /// Events of the user.
        events: usize,
    },
    /// The data hold an item that the scorer has no score for.
    #[error(
        "item {item} of the data is outside the {items} items that {scorer} scores; was it made from other data?"
    )]
    UnknownItem {
        /// Dense number of the item.
        item: usize,
        /// Items that are scored.
        items: usize,
        /// Name of the scorer.
        scorer: String,
    },
    /// The output of a scorer has another size than (b, i).
    #[error("scores of {inputs} inputs over {items} items need {needed} places, the buffer has {given}")]
    Buffer {
        /// b: inputs.
        inputs: usize,
        /// i: items.
        items: usize,
        /// Places that are needed.
        needed: usize,
        /// Places that are there.
        given: usize,
    },
    /// A score that is no number cannot be written as a prediction.
    #[error("the score of item {item} for user {user} is not a number; the model is damaged or diverged")]
    NotANumber {
        /// Key of the user.
        user: String,
        /// Key of the item.
        item: String,
    },
    /// A Markov window is outside what the counts can hold.
    #[error("a Markov window of {window} events is outside 1..=255")]
    MarkovWindow {
        /// The window asked for.
        window: usize,
    },
    /// The split was made for other histories.
    #[error("the split knows {split} users, the histories hold {histories}")]
    Split {
        /// Users of the split.
        split: usize,
        /// Users of the histories.
        histories: usize,
    },
    /// The receiver of the predictions failed.
    #[error("writing predictions")]
    Sink(#[source] std::io::Error),
    /// The model refused an input.
    #[error("scoring with the model")]
    Model(#[from] upnext_model::Error),
    /// The data refused a request.
    #[error("reading the histories")]
    Data(#[from] upnext_data::Error),
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
