//! Which exit code an error deserves.

use std::path::Path;
use std::process::ExitCode;

/// What was asked for cannot be done as asked: the caller has to change something.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct BadInput(pub(crate) String);

impl BadInput {
    /// A file that was named and cannot be read.
    pub(crate) fn unreadable(path: &Path, source: &std::io::Error) -> Self {
        Self(format!("{} cannot be read: {source}", path.display()))
    }
}

/// Part of the work was done: some users have no list, or a training was interrupted.
pub(crate) const PARTLY: u8 = 3;

/// 2 for bad input or usage, 1 for everything else.
pub(crate) fn exit_code(error: &anyhow::Error) -> ExitCode {
    let bad_input = error.chain().any(is_bad_input) && !error.chain().any(is_full_disk);
    ExitCode::from(if bad_input { 2 } else { 1 })
}

/// A disk that takes no more is nobody's bad input.
fn is_full_disk(cause: &(dyn std::error::Error + 'static)) -> bool {
    use std::io::ErrorKind;
    let kind = cause.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    matches!(kind, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge))
}

fn is_bad_input(cause: &(dyn std::error::Error + 'static)) -> bool {
    let tables = cause.downcast_ref::<upnext_tables::Error>();
    let train = cause.downcast_ref::<upnext_train::Error>();
    let eval = cause.downcast_ref::<upnext_eval::Error>();
    let data = cause.downcast_ref::<upnext_data::Error>();
    let model = cause.downcast_ref::<upnext_model::Error>();
    let encode = cause.downcast_ref::<upnext_encode::Error>();
    let generate = cause.downcast_ref::<upnext_generate::Error>();
    cause.is::<BadInput>()
        || matches!(generate, Some(upnext_generate::Error::NoIndex { .. }))
        || cause.is::<upnext_generate::RequestError>()
        || cause.is::<upnext_generate::ConditionError>()
        || cause.is::<upnext_kernels::level::LevelError>()
        || tables.is_some_and(|error| {
            use upnext_tables::Error;
            !matches!(error, Error::Write { .. } | Error::Spill { .. } | Error::Interrupted)
        })
        || train.is_some_and(|error| {
            use upnext_train::Error;
            matches!(
                error,
                Error::Config { .. }
                    | Error::Exists(_)
                    | Error::NotARun(_)
                    | Error::NotAFolder(_)
                    | Error::Busy(_)
                    | Error::Differs { .. }
                    | Error::Record { .. }
                    | Error::DenseTable { .. }
                    | Error::Memory { .. }
                    | Error::NotBuiltFor { .. }
                    | Error::NoDevice { .. }
                    | Error::TowerOnDevice
                    | Error::HorizonsOnDevice
                    | Error::From(_)
            )
        })
        || eval.is_some_and(|error| {
            use upnext_eval::Error;
            matches!(
                error,
                Error::ReadReport { .. }
                    | Error::ReportJson { .. }
                    | Error::ReportVersion { .. }
                    | Error::ReportField { .. }
                    | Error::NoSystem { .. }
                    | Error::Unpaired(_)
                    | Error::Pooled { .. }
                    | Error::NothingToCompare(_)
                    | Error::AmongColdKept
            )
        })
        || encode.is_some_and(|error| {
            use upnext_encode::Error;
            !matches!(error, Error::Compute { .. } | Error::Threads { .. } | Error::Interrupted)
        })
        || data.is_some()
        || model.is_some()
}
