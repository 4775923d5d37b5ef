use sea_orm::{DbErr, RuntimeErr, sqlx};

/// What kind of failure a database error is, that is, what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The database is away, full or too busy: wait, then do the same again.
    Away,
    /// Another transaction was in the way (deadlock, serialization failure): do the same again at once.
    Conflict,
    /// A unique key is taken. Where another transaction took it at the same instant, doing the same again at once sees what
    /// that one did; otherwise it will fail the same way for ever.
    Taken,
    /// It will fail the same way again.
    Permanent,
}

impl Fault {
    /// Tells what kind of failure `error` is.
    #[must_use]
    pub fn of(error: &DbErr) -> Self {
        match error {
            DbErr::ConnectionAcquire(_) => Self::Away,
            DbErr::Conn(RuntimeErr::SqlxError(error))
            | DbErr::Exec(RuntimeErr::SqlxError(error))
            | DbErr::Query(RuntimeErr::SqlxError(error)) => Self::of_sqlx(error),
            DbErr::Conn(_) => Self::Away,
            _ => Self::Permanent,
        }
    }

    fn of_sqlx(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => match error.code() {
                Some(code) => Self::of_code(&code, error.is_unique_violation()),
                None => Self::Permanent,
            },
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed
            | sqlx::Error::Protocol(_) => Self::Away,
            _ => Self::Permanent,
        }
    }

    /// `code` is an SQLSTATE of PostgreSQL (five characters) or an extended result code of SQLite (a number).
    fn of_code(code: &str, unique_violation: bool) -> Self {
        if unique_violation {
            return Self::Taken;
        }
        if code.len() == 5 {
            return match &code[..2] {
                // 40: serialization failure, deadlock. 55P03: lock not available.
                "40" | "55" => Self::Conflict,
                // Connection, resources (disk full, too many connections), operator intervention, system error.
                "08" | "53" | "57" | "58" => Self::Away,
                // 25006: the server became a read-only standby.
                _ if code == "25006" => Self::Away,
                _ => Self::Permanent,
            };
        }
        // The low byte is the primary code: https://www.sqlite.org/rescode.html
        match code.parse::<u32>().map(|code| code & 0xff) {
            // BUSY, LOCKED: a transaction begins with the write lock, and has waited for it as long as `busy_timeout` says.
            // READONLY, IOERR, FULL, CANTOPEN
            Ok(5 | 6 | 8 | 10 | 13 | 14) => Self::Away,
            _ => Self::Permanent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_both_databases_are_told_apart() {
        for (code, unique, fault) in [
            ("40001", false, Fault::Conflict),
            ("40P01", false, Fault::Conflict),
            ("23505", true, Fault::Taken),
            ("2067", true, Fault::Taken),
            ("57P01", false, Fault::Away),
            ("53100", false, Fault::Away),
            ("25006", false, Fault::Away),
            ("23514", false, Fault::Permanent),
            ("42P01", false, Fault::Permanent),
            ("261", false, Fault::Away),
            ("5", false, Fault::Away),
            ("13", false, Fault::Away),
            ("275", false, Fault::Permanent),
        ] {
            assert_eq!(Fault::of_code(code, unique), fault, "{code}");
        }
    }
}
