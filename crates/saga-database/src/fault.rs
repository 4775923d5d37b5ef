use sea_orm::{DbErr, RuntimeErr, sqlx};

/// What kind of failure a database error is, and so how to react to it.
///
/// Only what an input itself can cause counts as the input's fault: values that do not fit, and rows that contradict
/// others. Every other error is a problem of the server, the privileges, the schema or this program. It would fail
/// every other input too until it is repaired, so no message may be dead-lettered because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The database is unavailable, full, or not in the state that this program needs: wait, then try again.
    Away,
    /// Another transaction was in the way (deadlock, serialization failure): try again at once.
    Conflict,
    /// Another session held a lock on a row or a table for longer than the lock timeout.
    Locked,
    /// A unique key already exists. If another transaction inserted it at the same moment, trying again at once sees
    /// that row; otherwise it will always fail the same way.
    Taken,
    /// It will always fail the same way with this input.
    Permanent,
}

/// The kind of failure for each SQLSTATE, by its class, or by the whole code if one differs from its class
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>). The first entry that matches counts; if none
/// does, it is [`Fault::Away`].
const SQL_STATES: &[(&str, Fault)] = &[
    ("09", Fault::Permanent), // triggered action exception
    ("21", Fault::Permanent), // cardinality violation
    ("22", Fault::Permanent), // data exception: a value that does not fit
    ("23", Fault::Permanent), // integrity constraint violation (a unique one is `Taken`)
    ("27", Fault::Permanent), // triggered data change violation
    ("40", Fault::Conflict),  // transaction rollback: serialization failure, deadlock
    ("44", Fault::Permanent), // WITH CHECK OPTION violation
    ("54", Fault::Permanent), // program limit exceeded: a value too long for an index
    ("55P03", Fault::Locked), // lock not available
    ("72", Fault::Conflict),  // snapshot too old
    ("P0", Fault::Permanent), // raised by a user-defined function or trigger
    ("08", Fault::Away),      // connection exception
    ("0A", Fault::Away),      // feature not supported, for example a cached plan after a migration
    ("0B", Fault::Away),      // invalid transaction initiation
    ("0F", Fault::Away),      // locator exception
    ("0L", Fault::Away),      // invalid grantor
    ("0P", Fault::Away),      // invalid role
    ("0Z", Fault::Away),      // diagnostics exception
    ("10", Fault::Away),      // XQuery error
    ("20", Fault::Away),      // case not found
    ("24", Fault::Away),      // invalid cursor state
    ("25", Fault::Away),      // invalid transaction state: 25006 is a server that became a standby
    ("26", Fault::Away),      // invalid prepared statement name, for example behind a pooler
    ("28", Fault::Away),      // invalid authorization: the password or pg_hba.conf was changed
    ("2B", Fault::Away),      // dependent privileges exist
    ("2D", Fault::Away),      // invalid transaction termination
    ("2F", Fault::Away),      // SQL routine exception
    ("34", Fault::Away),      // invalid cursor name
    ("38", Fault::Away),      // external routine exception
    ("39", Fault::Away),      // external routine invocation exception
    ("3B", Fault::Away),      // savepoint exception
    ("3D", Fault::Away),      // no such database
    ("3F", Fault::Away),      // no such schema
    ("42", Fault::Away), // access rule violation: 42501 privileges, 42P01 no such table; inputs do not write statements
    ("53", Fault::Away), // insufficient resources: disk full, too many connections
    ("55", Fault::Away), // object not in prerequisite state
    ("57", Fault::Away), // operator intervention: shutdown, cancelled
    ("58", Fault::Away), // system error
    ("F0", Fault::Away), // configuration file error
    ("HV", Fault::Away), // foreign data wrapper error
    ("XX", Fault::Away), // internal error, corruption
];

/// The kind of failure for each primary result code of SQLite (<https://www.sqlite.org/rescode.html>); any other is
/// [`Fault::Away`].
const SQLITE_CODES: &[(u32, Fault)] = &[
    (18, Fault::Permanent), // TOOBIG: a value that does not fit
    (19, Fault::Permanent), // CONSTRAINT (a unique one is `Taken`)
    (20, Fault::Permanent), // MISMATCH
    (1, Fault::Away),       // ERROR: no such table
    (2, Fault::Away),       // INTERNAL
    (3, Fault::Away),       // PERM
    (4, Fault::Away),       // ABORT
    (5, Fault::Away),       // BUSY: the wait for the write lock exceeded `busy_timeout`
    (6, Fault::Away),       // LOCKED
    (7, Fault::Away),       // NOMEM
    (8, Fault::Away),       // READONLY
    (9, Fault::Away),       // INTERRUPT
    (10, Fault::Away),      // IOERR
    (11, Fault::Away),      // CORRUPT
    (12, Fault::Away),      // NOTFOUND
    (13, Fault::Away),      // FULL
    (14, Fault::Away),      // CANTOPEN
    (15, Fault::Away),      // PROTOCOL
    (16, Fault::Away),      // EMPTY
    (17, Fault::Away),      // SCHEMA
    (21, Fault::Away),      // MISUSE
    (22, Fault::Away),      // NOLFS
    (23, Fault::Away),      // AUTH
    (24, Fault::Away),      // FORMAT
    (25, Fault::Away),      // RANGE
    (26, Fault::Away),      // NOTADB
];

impl Fault {
    /// Returns the kind of failure of `error`.
    #[must_use]
    pub fn of(error: &DbErr) -> Self {
        match error {
            // No connection could be obtained; the code does not matter.
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Self::Away,
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
                error.code().map_or(Self::Away, |code| Self::of_code(&code, error.is_unique_violation()))
            }
            sqlx::Error::RowNotFound
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_) => Self::Permanent,
            _ => Self::Away,
        }
    }

    /// `code` is an SQLSTATE of PostgreSQL (five characters) or an extended result code of SQLite (a number).
    fn of_code(code: &str, unique_violation: bool) -> Self {
        if unique_violation {
            return Self::Taken;
        }
        let found = if code.len() == 5 {
            SQL_STATES.iter().find(|(start, _)| code.starts_with(start)).map(|(_, fault)| *fault)
        } else {
            // The low byte is the primary code.
            let primary = code.parse::<u32>().map(|code| code & 0xff).unwrap_or_default();
            SQLITE_CODES.iter().find(|(code, _)| *code == primary).map(|(_, fault)| *fault)
        };
        found.unwrap_or(Self::Away)
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
            (Fault::Locked, &["55P03"]),
            // What an input can cause.
            (Fault::Permanent, &["21000", "22001", "22003", "22P05", "23502", "23514", "54000", "P0001", "275", "18"]),
            // Connecting and resources.
            (Fault::Away, &["08006", "28P01", "28000", "3D000", "53100", "53300", "57P01", "57P03", "58030", "XX001"]),
            // Privileges and schema, the state of the session, an unknown code.
            (Fault::Away, &["42501", "42P01", "42703", "25006", "25P03", "26000", "0A000", "55006", "57014", "ZZ999"]),
            // SQLite: busy, read-only, I/O, full, no such table, not a database.
            (Fault::Away, &["261", "5", "8", "10", "13", "1", "26", "4711"]),
        ] {
            for code in codes {
                assert_eq!(Fault::of_code(code, false), fault, "{code}");
            }
        }
        for code in ["23505", "2067", "1555"] {
            assert_eq!(Fault::of_code(code, true), Fault::Taken, "{code}");
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
            assert_eq!(Fault::of(&error), Fault::Away, "{error}");
        }
        for error in [sqlx::Error::PoolTimedOut, sqlx::Error::PoolClosed, sqlx::Error::Protocol("cut".into())] {
            assert_eq!(Fault::of_sqlx(&error), Fault::Away, "{error}");
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
