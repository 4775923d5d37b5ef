use std::{fs, io, path::PathBuf};

use clap::Args;
use service_http::access::{AdminToken, NotAToken};

/// Access to the admin endpoints.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Administration")]
pub struct AdminSettings {
    /// Bearer token for the admin endpoints, at least 16 visible ASCII characters; without a token they are off
    #[arg(long, env = "ADMIN_TOKEN", hide_env_values = true, conflicts_with = "admin_token_file")]
    pub admin_token: Option<AdminToken>,
    /// File with this token; white space around it is ignored
    #[arg(long, env = "ADMIN_TOKEN_FILE")]
    pub admin_token_file: Option<PathBuf>,
}

/// Why the configured token cannot be used. The message is for the person who starts the service.
#[derive(Debug, thiserror::Error)]
pub enum AdminSettingsError {
    /// The file cannot be read.
    #[error("cannot read the admin token from {path} ({source}): see --admin-token-file")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file holds no token.
    #[error("the admin token in {path} {source}: see --admin-token-file")]
    NoToken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: NotAToken,
    },
}

impl AdminSettings {
    /// Returns the token, if one is configured.
    ///
    /// # Errors
    /// If its file cannot be read or contains no valid token.
    pub fn token(&self) -> Result<Option<AdminToken>, AdminSettingsError> {
        let (None, Some(path)) = (&self.admin_token, &self.admin_token_file) else {
            return Ok(self.admin_token.clone());
        };
        let text = fs::read_to_string(path);
        let text = text.map_err(|source| AdminSettingsError::Unreadable { path: path.clone(), source })?;
        let token = text.parse().map_err(|source| AdminSettingsError::NoToken { path: path.clone(), source })?;
        Ok(Some(token))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        admin: AdminSettings,
    }

    fn token(arguments: &[&str]) -> Result<Option<String>, String> {
        let cli = Cli::try_parse_from([&["program"], arguments].concat()).map_err(|error| error.to_string())?;
        let token = cli.admin.token().map_err(|error| error.to_string())?;
        Ok(token.map(|token| token.reveal().to_owned()))
    }

    fn in_file(directory: &Path, content: &str) -> Result<Option<String>, String> {
        let path = directory.join("token");
        fs::write(&path, content).unwrap();
        token(&["--admin-token-file", path.to_str().unwrap()])
    }

    #[test]
    fn a_token_is_given_itself_or_in_a_file() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(token(&[]), Ok(None));
        let secret = "s3cr=t-of-16-len";
        assert_eq!(token(&["--admin-token", secret]), Ok(Some(secret.to_owned())));
        assert_eq!(in_file(directory.path(), &format!(" {secret}\n")), Ok(Some(secret.to_owned())));
        let (itself, file) = (["--admin-token", secret], ["--admin-token-file", "b"]);
        for both in [[itself, file], [file, itself]] {
            assert!(token(&both.concat()).unwrap_err().contains("cannot be used with"));
        }
    }

    #[test]
    fn an_invalid_token_is_refused_and_not_ignored() {
        let directory = tempfile::tempdir().unwrap();
        for (text, why) in [
            ("", "blank"),
            (" \t\n", "blank"),
            ("two words, and some more", "ASCII"),
            ("hauptschlüsselbund", "ASCII"),
            ("a", "fewer than 16 characters"),
            ("123456789012345", "fewer than 16 characters"),
        ] {
            assert!(token(&["--admin-token", text]).unwrap_err().contains(why), "{text:?}");
            assert!(in_file(directory.path(), text).unwrap_err().contains(why), "{text:?}");
        }
        let error = token(&["--admin-token-file", "/no/such/file"]).unwrap_err();
        assert!(error.contains("/no/such/file") && error.contains("--admin-token-file"), "{error}");
    }
}
