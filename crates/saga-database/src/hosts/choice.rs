//! Which of several servers is used: a pure function of what they say.

use std::fmt;

use sea_orm::sqlx;

use super::role::Role;

/// What a program does with the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// It writes, so it needs a primary.
    Write,
    /// It only reads; without a primary, a standby will do.
    Read,
}

/// The server that is used. All sessions of the program are on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Its position in the address.
    pub(super) host: usize,
    pub(super) cluster: i64,
    /// The timeline of the primary; 0 if no primary was seen yet.
    pub(super) timeline: i64,
}

/// Why a server is not used.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It cannot be reached, or rejects the credentials.
    Unreachable(sqlx::Error),
    /// It is a standby.
    InRecovery,
    /// It is a primary whose transactions can only read.
    ReadOnly,
    /// It has another identifier than the other servers, or than the server before.
    OtherCluster,
    /// It is a primary that another server was promoted over.
    Superseded {
        /// The timeline that it writes.
        timeline: i64,
        /// The latest timeline that was seen.
        latest: i64,
    },
    /// It was promoted since the choice; the next choice will take it.
    JustPromoted {
        /// The timeline that it writes.
        timeline: i64,
    },
    /// Several servers were promoted to the same timeline.
    OneOfSeveral {
        /// That timeline.
        timeline: i64,
    },
}

impl Refusal {
    /// Returns what an operator can do about it.
    pub(crate) fn advice(&self) -> &'static str {
        match self {
            Self::Unreachable(error) => advice(error),
            Self::InRecovery => "promote it, or name the primary in DATABASE_URL",
            Self::ReadOnly => "see default_transaction_read_only there",
            Self::OtherCluster => {
                "all servers in DATABASE_URL must belong to one cluster; after moving to another, restart the program"
            }
            Self::Superseded { .. } => "another server was promoted over it: stop it, and make it a standby",
            Self::JustPromoted { .. } => "nothing: the program takes it at once",
            Self::OneOfSeveral { .. } => "stop all but the right one of them",
        }
    }
}

/// Omits addresses and passwords.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(error) => match error.as_database_error() {
                Some(of_server) => f.write_str(of_server.message()),
                None => write!(f, "{error}"),
            },
            Self::InRecovery => f.write_str("a standby, in recovery"),
            Self::ReadOnly => f.write_str("a primary that is read-only"),
            Self::OtherCluster => f.write_str("another cluster"),
            Self::Superseded { timeline, latest } => {
                write!(f, "a primary of the past: it writes timeline {timeline}, and timeline {latest} exists")
            }
            Self::JustPromoted { timeline } => write!(f, "a primary that was just promoted to timeline {timeline}"),
            Self::OneOfSeveral { timeline } => write!(f, "one of several primaries of timeline {timeline}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// Chooses one of the servers, from the answer of each of them: the primary with the latest timeline.
///
/// It never goes back: neither to an earlier timeline nor to another cluster than that of the server `before`.
pub(super) fn choose(
    answers: Vec<Result<Role, sqlx::Error>>,
    before: Option<Chosen>,
    need: Need,
) -> Result<Chosen, Vec<Refusal>> {
    let clusters = || answers.iter().flatten().map(|role| role.cluster);
    // The first choice is only made if all servers agree.
    let cluster = before
        .map(|before| before.cluster)
        .or_else(|| clusters().next().filter(|first| clusters().all(|c| c == *first)));
    let writable = |role: &Role| role.timeline.filter(|_| !role.read_only && Some(role.cluster) == cluster);
    let known = before.map_or(0, |before| before.timeline);
    let latest = answers.iter().flatten().filter_map(writable).fold(known, i64::max);
    let candidates = || answers.iter().enumerate().filter_map(|(host, answer)| Some((host, answer.as_ref().ok()?)));
    let primaries: Vec<_> = candidates().filter(|(_, role)| writable(role) == Some(latest)).collect();
    let is_before = |host: usize| before.is_some_and(|before| before.host == host);
    let one = primaries.windows(2).all(|pair| pair[0].1.started == pair[1].1.started);
    let primary = primaries.iter().find(|(host, _)| is_before(*host)).or(primaries.first().filter(|_| one));
    let standbys = || candidates().filter(|(_, role)| need == Need::Read && Some(role.cluster) == cluster);
    let chosen = primary.copied().or_else(|| {
        let standby = standbys().find(|(host, _)| is_before(*host)).or_else(|| standbys().next());
        standby.filter(|_| primaries.is_empty())
    });
    if let Some((host, role)) = chosen {
        return Ok(Chosen { host, cluster: role.cluster, timeline: latest });
    }
    let refusal = |answer: Result<Role, sqlx::Error>| match answer {
        Err(error) => Refusal::Unreachable(error),
        Ok(role) if Some(role.cluster) != cluster => Refusal::OtherCluster,
        Ok(role) => match role.timeline {
            None => Refusal::InRecovery,
            Some(_) if role.read_only => Refusal::ReadOnly,
            Some(timeline) if timeline < latest => Refusal::Superseded { timeline, latest },
            Some(timeline) => Refusal::OneOfSeveral { timeline },
        },
    };
    Err(answers.into_iter().map(refusal).collect())
}

/// Whether a new session may be used while `chosen` is the server: another one may answer at the same address.
pub(super) fn admit(role: &Role, chosen: Chosen, need: Need) -> Result<(), Refusal> {
    match role.timeline {
        _ if role.cluster != chosen.cluster => Err(Refusal::OtherCluster),
        _ if need == Need::Read => Ok(()),
        None => Err(Refusal::InRecovery),
        Some(_) if role.read_only => Err(Refusal::ReadOnly),
        Some(timeline) if timeline < chosen.timeline => Err(Refusal::Superseded { timeline, latest: chosen.timeline }),
        Some(timeline) if timeline > chosen.timeline => Err(Refusal::JustPromoted { timeline }),
        Some(_) => Ok(()),
    }
}

/// What an operator can do about an error (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
pub(crate) fn advice(error: &sqlx::Error) -> &'static str {
    let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
    match &*code {
        "28P01" | "28000" => "see DATABASE_URL and DATABASE_PASSWORD_FILE",
        "3D000" => "create it, and make the user its owner",
        "42501" => "make the user the owner of the database",
        "53300" => "raise max_connections there, or lower --database-connections",
        "57P03" => "it is starting up",
        _ if matches!(error, sqlx::Error::Io(_)) => "is the server up, and is the address right? See DATABASE_URL",
        _ if matches!(error, sqlx::Error::Tls(_)) => "see sslmode and sslrootcert in DATABASE_URL",
        _ => "see DATABASE_URL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: i64 = 7;

    fn primary(timeline: i64) -> Result<Role, sqlx::Error> {
        Ok(Role {
            cluster: CLUSTER,
            started: timeline,
            timeline: Some(timeline),
            read_only: false,
            commits_wait: false,
        })
    }

    fn standby() -> Result<Role, sqlx::Error> {
        primary(0).map(|role| Role { timeline: None, ..role })
    }

    fn down() -> Result<Role, sqlx::Error> {
        Err(sqlx::Error::Io(std::io::ErrorKind::ConnectionRefused.into()))
    }

    fn with(answer: Result<Role, sqlx::Error>, change: impl FnOnce(&mut Role)) -> Result<Role, sqlx::Error> {
        answer.map(|mut role| {
            change(&mut role);
            role
        })
    }

    fn on(host: usize, timeline: i64) -> Option<Chosen> {
        Some(Chosen { host, cluster: CLUSTER, timeline })
    }

    /// Returns the refusals as text.
    fn refused(answers: Vec<Result<Role, sqlx::Error>>, before: Option<Chosen>) -> Vec<String> {
        let refusals = choose(answers, before, Need::Write).unwrap_err();
        refusals.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn it_is_the_primary_with_the_latest_timeline() {
        for (answers, before, chosen) in [
            (vec![primary(1)], None, on(0, 1)),
            (vec![standby(), primary(1)], None, on(1, 1)),
            (vec![down(), primary(2)], on(0, 1), on(1, 2)),
            // The old primary has come back as if nothing had happened.
            (vec![primary(1), primary(2)], on(1, 2), on(1, 2)),
            (vec![primary(1), primary(2)], None, on(1, 2)),
            // It still runs, and the standby was promoted.
            (vec![primary(1), primary(2)], on(0, 1), on(1, 2)),
            // The same server was restored to an earlier moment, or another one has taken over its address.
            (vec![primary(3)], on(0, 2), on(0, 3)),
        ] {
            assert_eq!(choose(answers, before, Need::Write).ok(), chosen, "before: {before:?}");
        }
    }

    #[test]
    fn it_never_goes_back() {
        let past = "a primary of the past: it writes timeline 1, and timeline 2 exists";
        assert_eq!(refused(vec![primary(1), down()], on(1, 2))[0], past);
        assert_eq!(refused(vec![primary(1)], on(0, 2)), [past]);
        let other = with(primary(9), |role| role.cluster = 8);
        assert_eq!(refused(vec![other], on(0, 1)), ["another cluster"]);
    }

    #[test]
    fn it_says_why_no_server_can_be_used() {
        let answers = vec![down(), standby(), with(primary(1), |role| role.read_only = true)];
        let reasons = refused(answers, None);
        assert_eq!(reasons[1..], ["a standby, in recovery", "a primary that is read-only"]);
        assert!(reasons[0].contains("refused"), "{reasons:?}");
        // Nothing tells which cluster is the right one.
        let other = with(primary(1), |role| role.cluster = 8);
        assert_eq!(refused(vec![primary(1), other], None), ["another cluster"; 2]);
    }

    #[test]
    fn of_two_primaries_of_one_timeline_it_takes_none_unless_it_has_one() {
        let two = || vec![primary(2), with(primary(2), |role| role.started = 99), standby()];
        let several = "one of several primaries of timeline 2";
        assert_eq!(refused(two(), None), [several, several, "a standby, in recovery"]);
        assert_eq!(choose(two(), on(1, 2), Need::Write).ok(), on(1, 2));
        assert_eq!(refused(two(), on(2, 1)).len(), 3);
        // Two addresses of one server.
        assert_eq!(choose(vec![primary(2), primary(2)], None, Need::Write).ok(), on(0, 2));
        // Who only reads must not get one of them either.
        assert!(choose(two(), None, Need::Read).is_err());
    }

    #[test]
    fn who_only_reads_may_have_a_standby() {
        assert_eq!(choose(vec![down(), standby()], None, Need::Read).ok(), on(1, 0));
        assert_eq!(choose(vec![standby(), primary(1)], None, Need::Read).ok(), on(1, 1));
        assert!(choose(vec![down()], None, Need::Read).is_err());
    }

    #[test]
    fn a_session_is_on_the_chosen_server_or_refused() {
        let chosen = on(0, 2).unwrap();
        let admitted = |answer: Result<Role, sqlx::Error>, need| admit(&answer.unwrap(), chosen, need).is_ok();
        assert!(admitted(primary(2), Need::Write));
        for other in [primary(1), primary(3)] {
            assert!(!admitted(other, Need::Write));
        }
        assert!(!admitted(standby(), Need::Write) && admitted(standby(), Need::Read));
        assert!(!admitted(with(primary(2), |role| role.read_only = true), Need::Write));
        assert!(!admitted(with(primary(2), |role| role.cluster = 8), Need::Read));
    }
}
