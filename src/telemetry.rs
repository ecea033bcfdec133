//! Logs, to stderr. stdout is the wire.
//!
//! Of other crates only errors are shown, whatever is asked for: rmcp logs messages with their
//! contents, and the AWS SDK whole requests.

use std::{fmt, str::FromStr};

use tracing::{Level, Metadata, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer as _, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// JSON Lines, for machines.
    Json,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("a log format is `text` or `json`"),
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

/// Sets up logging for the process, and a panic hook that tells where and not what: a panic's
/// message can hold any value.
pub fn start(level: LevelFilter, format: LogFormat) {
    let shown = filter_fn(move |metadata: &Metadata<'_>| {
        let own = metadata.target().starts_with("subrosa");
        *metadata.level() <= if own { level } else { level.min(LevelFilter::ERROR) }
    });
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry();
    // Already set where this library is embedded: then its owner decides.
    let _ = match format {
        LogFormat::Text => registry.with(layer.with_ansi(false).with_filter(shown)).try_init(),
        LogFormat::Json => registry.with(layer.json().with_filter(shown)).try_init(),
    };
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::event!(Level::ERROR, place, "panic");
    }));
}
