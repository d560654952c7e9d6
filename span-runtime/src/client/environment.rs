//! Options from the environment of the process.

use std::env;

use super::InitError;
use super::options::Spotlight;
use super::settings::{check_rate, is_url};
use super::way::Proxies;
use crate::TraceLifecycle;
use crate::protocol::Dsn;

/// The process's environment, if it is to be read. A variable that is empty counts as not set.
pub(super) struct Environment {
    read: bool,
}

impl Environment {
    pub(super) fn new(read: bool) -> Self {
        Environment { read }
    }

    /// A variable that holds a text.
    pub(super) fn text(&self, name: &'static str) -> Result<Option<String>, InitError> {
        if !self.read {
            return Ok(None);
        }
        match env::var(name) {
            Ok(value) if value.trim().is_empty() => Ok(None),
            Ok(value) => Ok(Some(value.trim().to_owned())),
            Err(env::VarError::NotPresent) => Ok(None),
            Err(env::VarError::NotUnicode(value)) => Err(InitError::Environment {
                name,
                given: value.to_string_lossy().into_owned(),
                expected: "text in UTF-8",
            }),
        }
    }

    /// A variable as it is, with signs in the place of what is not UTF-8: for one that is read with more care than to be shown.
    pub(super) fn lossy(&self, name: &'static str) -> Option<String> {
        env::var_os(name).filter(|_| self.read).map(|value| value.to_string_lossy().into_owned())
    }

    /// A variable that is on or off.
    pub(super) fn flag(&self, name: &'static str) -> Result<Option<bool>, InitError> {
        let Some(given) = self.text(name)? else { return Ok(None) };
        match given.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(Some(true)),
            "false" | "0" | "no" | "off" => Ok(Some(false)),
            _ => Err(InitError::Environment { name, given, expected: "`true` or `false`" }),
        }
    }

    pub(super) fn lifecycle(&self, name: &'static str) -> Result<Option<TraceLifecycle>, InitError> {
        let Some(given) = self.text(name)? else { return Ok(None) };
        match TraceLifecycle::by_name(&given) {
            Some(lifecycle) => Ok(Some(lifecycle)),
            None => Err(InitError::Environment { name, given, expected: "`stream` or `static`" }),
        }
    }

    /// Words for yes and no, as Sentry's documents list them; anything else is a URL.
    pub(super) fn spotlight(&self, name: &'static str) -> Result<Option<Spotlight>, InitError> {
        let Some(given) = self.text(name)? else { return Ok(None) };
        let one_of = |words: &[&str]| words.iter().any(|word| given.eq_ignore_ascii_case(word));
        if one_of(&["true", "t", "y", "yes", "on", "1"]) {
            return Ok(Some(true.into()));
        }
        if one_of(&["false", "f", "n", "no", "off", "0"]) {
            return Ok(Some(false.into()));
        }
        match is_url(&given) {
            true => Ok(Some(given.into())),
            false => Err(InitError::Environment { name, given, expected: "true, false or a URL with http://" }),
        }
    }

    pub(super) fn proxies(&self, dsn: &Dsn) -> Proxies {
        // One that is not text is nothing that could be connected to.
        Proxies::from_env(dsn, |name| self.text(name).ok().flatten())
    }

    /// A variable that holds a sample rate.
    pub(super) fn rate(&self, name: &'static str) -> Result<Option<f64>, InitError> {
        let Some(given) = self.text(name)? else { return Ok(None) };
        match given.parse().ok().and_then(check_rate) {
            Some(rate) => Ok(Some(rate)),
            None => Err(InitError::Environment { name, given, expected: "a number from 0 to 1" }),
        }
    }
}
