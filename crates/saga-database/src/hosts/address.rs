//! The address of a database that has several servers, as libpq writes it: `postgres://USER@HOST1:PORT1,HOST2/NAME`.

/// What the services need of a server. There is no other choice, because they write.
const TARGETS: [&str; 2] = ["read-write", "primary"];
/// Parameters of libpq that would name the servers a second time.
const PLACES: [&str; 3] = ["host", "hostaddr", "port"];

/// Why an address cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AddressError {
    /// It has no scheme, an empty entry in its list of servers, or names the servers in a parameter, too.
    Malformed,
    /// `target_session_attrs` has another value than those that the services can use.
    Target,
}

/// Returns an address for each server, in the order of the list, without `target_session_attrs`.
pub(crate) fn split(url: &str) -> Result<Vec<String>, AddressError> {
    let (scheme, rest) = url.split_once("://").ok_or(AddressError::Malformed)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let (user, hosts) = match authority.rfind('@') {
        Some(at) => authority.split_at(at + 1),
        None => ("", authority),
    };
    let hosts: Vec<&str> = hosts.split(',').collect();
    let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let parameters = without_target(parameters, hosts.len() > 1)?;
    // A single server may be missing here, because a parameter can name its socket.
    if hosts.len() > 1 && hosts.iter().any(|host| host.is_empty() || host.starts_with(':')) {
        return Err(AddressError::Malformed);
    }
    Ok(hosts.into_iter().map(|host| format!("{scheme}://{user}{host}{path}{parameters}")).collect())
}

fn without_target(parameters: &str, several: bool) -> Result<String, AddressError> {
    let mut kept = String::new();
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name == "target_session_attrs" {
            TARGETS.contains(&value).then_some(()).ok_or(AddressError::Target)?;
            continue;
        }
        if PLACES.contains(&name) && (several || value.contains(',') || value.to_ascii_lowercase().contains("%2c")) {
            return Err(AddressError::Malformed);
        }
        kept.push(if kept.is_empty() { '?' } else { '&' });
        kept.push_str(parameter);
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_an_address_of_its_own() {
        for (url, addresses) in [
            ("postgres://u:p@db:5433/orders", &["postgres://u:p@db:5433/orders"][..]),
            (
                "postgres://u:p@a:5433,b/orders?target_session_attrs=read-write&sslmode=require",
                &["postgres://u:p@a:5433/orders?sslmode=require", "postgres://u:p@b/orders?sslmode=require"],
            ),
            // Commas and at signs in the password, IPv6, no user, no path.
            ("postgres://u:p@,@a,b/o", &["postgres://u:p@,@a/o", "postgres://u:p@,@b/o"]),
            ("postgresql://[::1]:5433,[::2]/o", &["postgresql://[::1]:5433/o", "postgresql://[::2]/o"]),
            ("postgres://a,b?target_session_attrs=primary", &["postgres://a", "postgres://b"]),
            // A single server may be a socket.
            ("postgres:///o?host=/run/postgresql", &["postgres:///o?host=/run/postgresql"]),
        ] {
            assert_eq!(split(url).unwrap(), addresses, "{url}");
        }
    }

    #[test]
    fn a_list_with_a_mistake_is_refused() {
        for url in [
            "postgres:u@a,b/o",
            "postgres://u@a,/o",
            "postgres://u@,b/o",
            "postgres://u@a,,b/o",
            "postgres://u@a,:5433/o",
            "postgres://u@a,b/o?port=5433",
            "postgres://u@a,b/o?host=c",
            "postgres:///o?host=a,b",
            "postgres:///o?host=a%2Cb",
        ] {
            assert_eq!(split(url), Err(AddressError::Malformed), "{url}");
        }
        for value in ["", "any", "read-only", "standby", "prefer-standby", "READ-WRITE", "nonsense"] {
            let url = format!("postgres://u@a,b/o?target_session_attrs={value}");
            assert_eq!(split(&url), Err(AddressError::Target), "{url}");
        }
        assert_eq!(split("postgres://u@a/o?target_session_attrs"), Err(AddressError::Target));
    }
}
