//! What can go wrong in an evaluation or a comparison.

use std::path::PathBuf;

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
    #[error("the question of user {user} holds out the events {start}..{end} of a history of {events}")]
    NoTarget {
        /// Dense number of the user.
        user: usize,
        /// First held-out event.
        start: usize,
        /// One more than the last.
        end: usize,
        /// Events of the user.
        events: usize,
    },
    /// A list could not be made.
    #[error("a list cannot be made")]
    Request(#[from] upnext_generate::RequestError),
    /// Lists were measured against other questions than they answer.
    #[error("{lists} lists cannot answer {questions} questions")]
    Lists {
        /// Lists given.
        lists: usize,
        /// Questions asked.
        questions: usize,
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
    /// A report's file cannot be read.
    #[error("reading the report {}", path.display())]
    ReadReport {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A report's file cannot be written.
    #[error("writing the report {}", path.display())]
    WriteReport {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is no report, or one whose text was changed.
    #[error("{} is no report that `upnext evaluate --report` wrote", path.display())]
    ReportJson {
        /// The file.
        path: PathBuf,
        /// Where it goes wrong, with the field.
        source: serde_json::Error,
    },
    /// A report of another version.
    #[error("{} is a report of version {found}, but this program reads version {known}", path.display())]
    ReportVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A report that contradicts itself.
    #[error("{}: {field} {need}", path.display())]
    ReportField {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// What is wrong with it.
        need: String,
    },
    /// A report lacks the system asked for.
    #[error("{} has no system {name:?}; it has {}", path.display(), known.join(", "))]
    NoSystem {
        /// The file.
        path: PathBuf,
        /// The system asked for.
        name: String,
        /// The systems there.
        known: Vec<String>,
    },
    /// Two reports that did not ask the same.
    #[error(transparent)]
    Unpaired(Box<Unpaired>),
    /// Sides of different numbers of reports.
    #[error("the reference pools {reference} reports and another side {other}: they are paired one by one")]
    Pooled {
        /// Reports of the reference.
        reference: usize,
        /// Reports of the other side.
        other: usize,
    },
    /// No question is of the kind that is compared.
    #[error("the reports hold no question to compare on {0}")]
    NothingToCompare(&'static str),
    /// Among cold items there is one seen policy.
    #[error("ranks among cold items are with seen items dropped; they cannot be had with seen kept")]
    AmongColdKept,
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

/// What keeps two reports from being compared question by question.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} and {} cannot be compared question by question: {what} is {left} in one and {right} in the other",
    left_path.display(),
    right_path.display()
)]
pub struct Unpaired {
    /// One report.
    pub left_path: PathBuf,
    /// The other.
    pub right_path: PathBuf,
    /// What differs.
    pub what: String,
    /// What it is in the one.
    pub left: String,
    /// What it is in the other.
    pub right: String,
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
