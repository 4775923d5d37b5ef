use sea_orm::{DbErr, RuntimeErr, sqlx};

/// What kind of failure a database error is, and so how to react to it.
///
/// Only what an input itself can cause counts as the input's fault: values that do not fit, and rows that contradict
/// others. Every other error is a problem of the server, the privileges, the schema or this program. It would fail
/// every other input too until it is repaired, so no message may be dead-lettered because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The database is unavailable, full, or not in the state that this program needs: wait, then try again.
    Unavailable,
    /// Another transaction was in the way (deadlock, serialization failure): try again at once.
    Conflict,
    /// Another session held a lock on a row or a table for longer than the lock timeout.
    LockTimeout,
    /// A unique key already exists. If another transaction inserted it at the same moment, trying again at once sees
    /// that row; otherwise it will always fail the same way.
    UniqueViolation,
    /// It will always fail the same way with this input.
    Permanent,
}

/// The kind of failure for each SQLSTATE, by its class, or by the whole code if one differs from its class
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>). The first entry that matches counts; if none
/// does, it is [`Fault::Unavailable`].
const SQL_STATES: &[(&str, Fault)] = &[
    ("09", Fault::Permanent),      // triggered action exception
    ("21", Fault::Permanent),      // cardinality violation
    ("22", Fault::Permanent),      // data exception: a value that does not fit
    ("23", Fault::Permanent),      // integrity constraint violation (a unique one is `UniqueViolation`)
    ("27", Fault::Permanent),      // triggered data change violation
    ("40", Fault::Conflict),       // transaction rollback: serialization failure, deadlock
    ("44", Fault::Permanent),      // WITH CHECK OPTION violation
    ("54", Fault::Permanent),      // program limit exceeded: a value too long for an index
    ("55P03", Fault::LockTimeout), // lock not available
    ("72", Fault::Conflict),       // snapshot too old
    ("P0", Fault::Permanent),      // raised by a user-defined function or trigger
    ("08", Fault::Unavailable),    // connection exception
    ("0A", Fault::Unavailable),    // feature not supported, for example a cached plan after a migration
    ("0B", Fault::Unavailable),    // invalid transaction initiation
    ("0F", Fault::Unavailable),    // locator exception
    ("0L", Fault::Unavailable),    // invalid grantor
    ("0P", Fault::Unavailable),    // invalid role
    ("0Z", Fault::Unavailable),    // diagnostics exception
    ("10", Fault::Unavailable),    // XQuery error
    ("20", Fault::Unavailable),    // case not found
    ("24", Fault::Unavailable),    // invalid cursor state
    ("25", Fault::Unavailable),    // invalid transaction state: 25006 is a server that became a standby
    ("26", Fault::Unavailable),    // invalid prepared statement name, for example behind a pooler
    ("28", Fault::Unavailable),    // invalid authorization: the password or pg_hba.conf was changed
    ("2B", Fault::Unavailable),    // dependent privileges exist
    ("2D", Fault::Unavailable),    // invalid transaction termination
    ("2F", Fault::Unavailable),    // SQL routine exception
    ("34", Fault::Unavailable),    // invalid cursor name
    ("38", Fault::Unavailable),    // external routine exception
    ("39", Fault::Unavailable),    // external routine invocation exception
    ("3B", Fault::Unavailable),    // savepoint exception
    ("3D", Fault::Unavailable),    // no such database
    ("3F", Fault::Unavailable),    // no such schema
    ("42", Fault::Unavailable), // access rule violation: 42501 privileges, 42P01 no such table; inputs do not write statements
    ("53", Fault::Unavailable), // insufficient resources: disk full, too many connections
    ("55", Fault::Unavailable), // object not in prerequisite state
    ("57", Fault::Unavailable), // operator intervention: shutdown, cancelled
    ("58", Fault::Unavailable), // system error
    ("F0", Fault::Unavailable), // configuration file error
    ("HV", Fault::Unavailable), // foreign data wrapper error
    ("XX", Fault::Unavailable), // internal error, corruption
];

/// The kind of failure for each primary result code of SQLite (<https://www.sqlite.org/rescode.html>); any other is
/// [`Fault::Unavailable`].
const SQLITE_CODES: &[(u32, Fault)] = &[
    (18, Fault::Permanent),   // TOOBIG: a value that does not fit
    (19, Fault::Permanent),   // CONSTRAINT (a unique one is `UniqueViolation`)
    (20, Fault::Permanent),   // MISMATCH
    (1, Fault::Unavailable),  // ERROR: no such table
    (2, Fault::Unavailable),  // INTERNAL
    (3, Fault::Unavailable),  // PERM
    (4, Fault::Unavailable),  // ABORT
    (5, Fault::Unavailable),  // BUSY: the wait for the write lock exceeded `busy_timeout`
    (6, Fault::Unavailable),  // LOCKED
    (7, Fault::Unavailable),  // NOMEM
    (8, Fault::Unavailable),  // READONLY
    (9, Fault::Unavailable),  // INTERRUPT
    (10, Fault::Unavailable), // IOERR
    (11, Fault::Unavailable), // CORRUPT
    (12, Fault::Unavailable), // NOTFOUND
    (13, Fault::Unavailable), // FULL
    (14, Fault::Unavailable), // CANTOPEN
    (15, Fault::Unavailable), // PROTOCOL
    (16, Fault::Unavailable), // EMPTY
    (17, Fault::Unavailable), // SCHEMA
    (21, Fault::Unavailable), // MISUSE
    (22, Fault::Unavailable), // NOLFS
    (23, Fault::Unavailable), // AUTH
    (24, Fault::Unavailable), // FORMAT
    (25, Fault::Unavailable), // RANGE
    (26, Fault::Unavailable), // NOTADB
];

impl Fault {
    /// Returns the kind of failure of `error`.
    #[must_use]
    pub fn of(error: &DbErr) -> Self {
        match error {
            // No connection could be obtained; the code does not matter.
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Self::Unavailable,
            DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
                Self::of_sqlx(error)
            }
            // A row that cannot be read, or a panic: inputs that do not need this row must go on.
            _ => Self::Permanent,
        }
    }

    fn of_sqlx(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => {
                error.code().map_or(Self::Unavailable, |code| Self::of_code(&code, error.is_unique_violation()))
            }
            sqlx::Error::RowNotFound
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_) => Self::Permanent,
            _ => Self::Unavailable,
        }
    }

    /// `code` is an SQLSTATE of PostgreSQL (five characters) or an extended result code of SQLite (a number).
    fn of_code(code: &str, unique_violation: bool) -> Self {
        if unique_violation {
            return Self::UniqueViolation;
        }
        let found = if code.len() == 5 {
            SQL_STATES.iter().find(|(start, _)| code.starts_with(start)).map(|(_, fault)| *fault)
        } else {
            // The low byte is the primary code.
            let primary = code.parse::<u32>().map(|code| code & 0xff).unwrap_or_default();
            SQLITE_CODES.iter().find(|(code, _)| *code == primary).map(|(_, fault)| *fault)
        };
        found.unwrap_or(Self::Unavailable)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_of_both_databases_are_classified() {
        for (fault, codes) in [
            (Fault::Conflict, &["40001", "40P01", "72000"][..]),
            (Fault::LockTimeout, &["55P03"]),
            // What an input can cause.
            (Fault::Permanent, &["21000", "22001", "22003", "22P05", "23502", "23514", "54000", "P0001", "275", "18"]),
            // Connecting and resources.
            (
                Fault::Unavailable,
                &["08006", "28P01", "28000", "3D000", "53100", "53300", "57P01", "57P03", "58030", "XX001"],
            ),
            // Privileges and schema, the state of the session, an unknown code.
            (
                Fault::Unavailable,
                &["42501", "42P01", "42703", "25006", "25P03", "26000", "0A000", "55006", "57014", "ZZ999"],
            ),
            // SQLite: busy, read-only, I/O, full, no such table, not a database.
            (Fault::Unavailable, &["261", "5", "8", "10", "13", "1", "26", "4711"]),
        ] {
            for code in codes {
                assert_eq!(Fault::of_code(code, false), fault, "{code}");
            }
        }
        for code in ["23505", "2067", "1555"] {
            assert_eq!(Fault::of_code(code, true), Fault::UniqueViolation, "{code}");
        }
    }

    #[test]
    fn each_class_and_code_stands_in_its_table_once() {
        let classes: HashSet<_> = SQL_STATES.iter().map(|(start, _)| start).collect();
        assert_eq!(classes.len(), SQL_STATES.len());
        let codes: HashSet<_> = SQLITE_CODES.iter().map(|(code, _)| code).collect();
        assert_eq!((codes.len(), codes.iter().all(|code| (1..=26).contains(*code))), (26, true));
    }

    #[test]
    fn a_connection_that_is_refused_is_never_the_inputs_fault() {
        let refused = || RuntimeErr::SqlxError(sqlx::Error::Configuration("no such option".into()).into());
        for error in [DbErr::Conn(refused()), DbErr::Exec(refused()), DbErr::Query(refused())] {
            assert_eq!(Fault::of(&error), Fault::Unavailable, "{error}");
        }
        for error in [sqlx::Error::PoolTimedOut, sqlx::Error::PoolClosed, sqlx::Error::Protocol("cut".into())] {
            assert_eq!(Fault::of_sqlx(&error), Fault::Unavailable, "{error}");
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_concerns_only_who_needs_it() {
        for error in [DbErr::Type("order 7: currency".to_owned()), DbErr::Custom("a panic".to_owned())] {
            assert_eq!(Fault::of(&error), Fault::Permanent, "{error}");
        }
        assert_eq!(Fault::of_sqlx(&sqlx::Error::Decode("no number".into())), Fault::Permanent);
    }
}
