//! The environment variables that the programs know, as their `--help` says.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};

use crate::step::Step;

/// The variables that the chart sets by other values than `settings`, or that are of no use in a container.
pub(super) const SET_BY_CHART: &[&str] = &[
    "LISTEN",
    "DATABASE_URL",
    "DATABASE_PASSWORD_FILE",
    "AMQP_URL",
    "AMQP_PASSWORD_FILE",
    "AMQP_CA_FILE",
    "ALLOW_ANONYMOUS",
    "ADMIN_TOKEN",
    "ADMIN_TOKEN_FILE",
    "SYSTEM_ID",
    "DRAIN_TIMEOUT",
    // The pods have a preStop hook.
    "SHUTDOWN_DELAY",
    "LOG_FORMAT",
    "CONSOLE_LISTEN",
    "CONSOLE_URL",
    "ORDER_URL",
    "INVENTORY_URL",
    "PAYMENT_URL",
    "PAYMENT_GATEWAY",
    "PAYMENT_LIVE",
    "STRIPE_API_KEY_FILE",
    "STRIPE_WEBHOOK_SECRET_FILE",
];

/// The program of each container, as cargo runs it.
const PROGRAMS: [(&str, &str, &[&str]); 5] = [
    ("order", "order", &[]),
    ("inventory", "inventory", &[]),
    ("payment", "payment", &[]),
    ("console", "order-system", &["console"]),
    ("verify", "order-system", &["verify"]),
];

/// The variables by the name of the container.
#[derive(Debug, Default)]
pub(super) struct Programs(BTreeMap<String, BTreeSet<String>>);

impl Programs {
    /// Builds the programs and asks them.
    ///
    /// # Errors
    /// If one cannot be built or run.
    pub(super) fn ask() -> anyhow::Result<Self> {
        let packages = ["-p", "order", "-p", "inventory", "-p", "payment", "-p", "order-system"];
        Step::cargo("programs of the chart", ["build", "--locked", "--bins"]).args(packages).run()?;
        let mut all = BTreeMap::new();
        for (container, program, command) in PROGRAMS {
            let run = ["run", "--quiet", "--locked", "-p", program, "--"];
            let help = Step::cargo("", run).args(command).args(["--help"]).into_command().output();
            let help = help.with_context(|| format!("cannot run {program}"))?;
            let variables = variables(&String::from_utf8_lossy(&help.stdout));
            ensure!(!variables.is_empty(), "{program} {} --help names no variables", command.join(" "));
            all.insert(container.to_owned(), variables);
        }
        Ok(Self(all))
    }

    /// Returns whether a container's program reads a variable. Those of OpenTelemetry are not in its `--help`.
    pub(super) fn knows(&self, container: &str, variable: &str) -> bool {
        variable.starts_with("OTEL_") || self.variables(container).any(|known| known == variable)
    }

    pub(super) fn variables(&self, container: &str) -> impl Iterator<Item = &str> {
        self.0.get(container).into_iter().flatten().map(String::as_str)
    }

    #[cfg(test)]
    pub(super) fn of<const N: usize>(container: &str, variables: [&str; N]) -> Self {
        Self([(container.to_owned(), variables.map(str::to_owned).into())].into())
    }
}

/// Finds `[env: NAME]` and `[env: NAME=VALUE]`.
fn variables(help: &str) -> BTreeSet<String> {
    let after = help.split("[env: ").skip(1);
    after.filter_map(|text| text.split([']', '=']).next()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_with_and_without_a_value() {
        let help = "--a <A>\n  [env: FIRST]\n--b\n  [env: SECOND=]\n  [default: 1]\n  [env: THIRD=x]";
        assert_eq!(variables(help), ["FIRST", "SECOND", "THIRD"].map(str::to_owned).into());
    }
}
