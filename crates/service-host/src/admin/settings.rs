use std::{fmt, fs, io, path::PathBuf, str::FromStr};

use clap::Args;
use subtle::ConstantTimeEq as _;

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

/// The secret that gives access to the admin endpoints. Its `Debug` output does not contain it.
#[derive(Clone)]
pub struct AdminToken {
    secret: Box<str>,
    /// Whether only this process knows it.
    generated: bool,
}

/// Minimum length of a token, in characters.
const LEAST_CHARACTERS: usize = 16;

/// Why a text cannot be a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAToken {
    /// It is empty or only white space, such as a variable without a value.
    #[error("is blank")]
    Blank,
    /// It cannot be sent in a header.
    #[error("has characters other than visible ASCII")]
    NotVisible,
    /// It is short enough to be guessed.
    #[error("has fewer than {LEAST_CHARACTERS} characters; make one with `openssl rand -base64 24`")]
    TooShort,
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

impl AdminToken {
    /// Compares `offered` with this token, in a time that depends only on the length.
    pub fn is(&self, offered: &[u8]) -> bool {
        self.secret.as_bytes().ct_eq(offered).into()
    }

    /// Returns the secret itself, for a client that sends it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.secret
    }

    /// Makes a random token that only this process knows. With it, parts of the process reach the admin endpoints;
    /// towards everybody else these behave as if they were off.
    ///
    /// # Errors
    /// If the operating system has no random numbers.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random)?;
        let secret: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { secret: secret.into(), generated: true })
    }

    /// Returns whether it was generated, so that no operator has it.
    pub(super) fn is_generated(&self) -> bool {
        self.generated
    }
}

impl FromStr for AdminToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        match text.trim() {
            "" => Err(NotAToken::Blank),
            token if !token.bytes().all(|byte| byte.is_ascii_graphic()) => Err(NotAToken::NotVisible),
            token if token.len() < LEAST_CHARACTERS => Err(NotAToken::TooShort),
            token => Ok(Self { secret: token.into(), generated: false }),
        }
    }
}

/// Omits the secret.
impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
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

    #[test]
    fn it_is_compared_whole_and_not_shown() {
        let token: AdminToken = "0123456789abcdef".parse().unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for other in
            ["", "0123456789abcde", "0123456789abcdef ", "0123456789ABCDEF", "x123456789abcdef", "0123456789abcdefs"]
        {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
        assert_eq!(format!("{token:?}"), "AdminToken");
    }
}
