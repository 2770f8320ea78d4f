//! Providers that are asked of one number, online: was it given up, what line is it, does its holder sue callers.
//!
//! A provider answers, or does not; what follows from it is the law's business, and when it is asked, how often and by whose
//! leave is the gate's (`gate/providers`). Whatever cannot be understood without a doubt is never `clear`
//! (`docs/PROVIDERS.md` has the table).

mod breaker;
mod config;
mod http;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;

use crate::domain::party::LineType;
use crate::domain::phone::Phone;
use crate::domain::provider::{ProviderKind, ScrubOutcome};

pub use breaker::{Breaker, Turn};
pub use config::ProviderConfig;
pub use http::HttpProvider;

/// What is asked of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// The number.
    pub number: Phone,
    /// Of reassignment: since when.
    pub since: Option<Date>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The result.
    pub result: ScrubOutcome,
    /// The provider's own word, or ours for what went wrong.
    pub raw_code: String,
    /// The line type, where that was asked and answered.
    pub line_type: Option<LineType>,
}

/// An answer under way.
pub type Saying<'a> = Pin<Box<dyn Future<Output = Said> + Send + 'a>>;

/// Whoever can be asked. Whoever does not answer in time is not waited for.
pub trait Provider: Send + Sync {
    /// Asks; what went wrong is a result, too.
    fn ask(&self, query: Query) -> Saying<'_>;
}

/// A provider as the configuration describes it.
#[derive(Clone)]
pub struct Service {
    /// Its name, under which its answers are kept.
    pub name: String,
    /// What it is asked.
    pub kind: ProviderKind,
    /// ISO countries of the numbers that it knows.
    pub countries: Vec<String>,
    /// The register of the rules as which its answers are filed.
    pub register: Option<String>,
    /// How long a question may take.
    pub timeout: Duration,
    /// How long an answer counts.
    pub valid: Duration,
    /// Questions a day, over all nodes.
    pub max_per_day: i64,
    /// Failures in a row after which it is left alone.
    pub breaker_failures: u32,
    /// For how long.
    pub breaker_pause: Duration,
    /// Whom to ask.
    pub provider: Arc<dyn Provider>,
}

impl Said {
    /// No answer that can be believed, by our own word for why.
    #[must_use]
    pub fn error(why: impl Into<String>) -> Self {
        Self {
            result: ScrubOutcome::Error,
            raw_code: why.into(),
            line_type: None,
        }
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
