//! Rules that each page keeps, so that everybody can use it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::browser::Browser;

/// Returns the rules that the page breaks, as a list of texts.
const RULES: &str = include_str!("rules.js");
/// The width of a small phone, in CSS pixels.
const PHONE: u32 = 360;
const DESKTOP: (u32, u32) = (1280, 900);

/// The colours that the user prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Dark text on a light background.
    Light,
    /// Light text on a dark background.
    Dark,
}

impl Scheme {
    const ALL: [Self; 2] = [Self::Light, Self::Dark];
}

impl Browser {
    /// Shows pages as for a user who prefers these colours.
    ///
    /// # Errors
    /// If the browser refuses.
    pub async fn prefer(&self, scheme: Scheme) -> Result<()> {
        let value = if scheme == Scheme::Light { "light" } else { "dark" };
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.session.devtools("Emulation.setEmulatedMedia", features).await.map(drop)
    }

    /// Checks the page that is shown by the rules in `rules.js`: in both colour schemes, on a wide screen and on a
    /// phone.
    ///
    /// # Errors
    /// If it breaks some of them; the error names the rules and the elements.
    pub async fn assert_rules(&self) -> Result<()> {
        let mut broken = BTreeMap::<String, Vec<String>>::new();
        for scheme in Scheme::ALL {
            self.prefer(scheme).await?;
            for width in [DESKTOP.0, PHONE] {
                self.resize(width, DESKTOP.1).await?;
                let found = self.session.script(RULES, &[]).await?;
                for rule in found.as_array().context("the rules are a list")? {
                    broken.entry(rule.to_string()).or_default().push(format!("{scheme:?} {width}"));
                }
            }
        }
        self.prefer(Scheme::Light).await?;
        self.resize(DESKTOP.0, DESKTOP.1).await?;
        let broken: Vec<String> =
            broken.into_iter().map(|(rule, shown)| format!("{rule} ({})", shown.join(", "))).collect();
        ensure!(broken.is_empty(), "the page {} breaks rules:\n{}", self.path().await?, broken.join("\n"));
        Ok(())
    }
}
