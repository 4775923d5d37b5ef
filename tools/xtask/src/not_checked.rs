//! What could not be checked, because something is missing here.

use std::{env, ffi::OsString};

use anyhow::ensure;

/// If this variable is set, a check that cannot be made is an error.
const STRICT: &str = "CI_STRICT";

/// Something that is not checked, and why.
#[derive(Debug)]
pub(crate) struct NotChecked {
    /// With its verb, such as "advisories are".
    what: &'static str,
    why: String,
}

impl NotChecked {
    pub(crate) fn new(what: &'static str, why: &dyn std::fmt::Display) -> Self {
        Self { what, why: why.to_string() }
    }

    /// Prints the notice, and returns it, to be repeated at the end.
    ///
    /// # Errors
    /// If `CI_STRICT` is set.
    pub(crate) fn notice(self) -> anyhow::Result<String> {
        let notice = self.notice_if(env::var_os(STRICT))?;
        println!("\n==> not checked\n    {notice}");
        Ok(notice)
    }

    fn notice_if(self, strict: Option<OsString>) -> anyhow::Result<String> {
        let Self { what, why } = self;
        ensure!(strict.is_none_or(|value| value.is_empty()), "{what} not checked, and {STRICT} is set: {why}");
        Ok(format!("{what} NOT CHECKED: {why}; with {STRICT}=1 this is an error"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_checked_is_reported_and_is_an_error_in_strict_ci() {
        let advisories = || NotChecked::new("advisories are", &"no network");
        for lenient in [None, Some(OsString::new())] {
            let notice = advisories().notice_if(lenient).unwrap();
            assert_eq!(notice, "advisories are NOT CHECKED: no network; with CI_STRICT=1 this is an error");
        }
        let error = advisories().notice_if(Some("1".into())).unwrap_err().to_string();
        assert_eq!(error, "advisories are not checked, and CI_STRICT is set: no network");
    }
}
