//! `docker-compose.tls.yml` fits `docker-compose.yml`, and the files that `cargo xtask credentials` writes.
#![allow(clippy::unwrap_used, reason = "a test that unwraps fails where it should")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use yaml_rust2::{Yaml, YamlLoader};

/// The services that have a database and a queue.
const SERVICES: [&str; 3] = ["order", "inventory", "payment"];
/// Those that have a certificate.
const SERVERS: [&str; 8] =
    ["order", "inventory", "payment", "console", "order-db", "inventory-db", "payment-db", "rabbitmq"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

fn parse(file: &str) -> Yaml {
    YamlLoader::load_from_str(&read(file)).unwrap().remove(0)
}

/// The entries of a map, with those that it merges in (`<<`).
fn entries(map: &Yaml) -> BTreeMap<String, Yaml> {
    let mut entries = BTreeMap::new();
    for (key, value) in map.as_hash().unwrap() {
        match key.as_str().unwrap() {
            "<<" => entries.extend(self::entries(value)),
            key => drop(entries.insert(key.to_owned(), value.clone())),
        }
    }
    entries
}

fn services(file: &str) -> BTreeMap<String, BTreeMap<String, Yaml>> {
    entries(&parse(file)["services"]).into_iter().map(|(name, service)| (name, entries(&service))).collect()
}

fn environment(service: &BTreeMap<String, Yaml>) -> BTreeMap<String, String> {
    let text = |(name, value): (String, Yaml)| (name, value.as_str().unwrap_or_default().to_owned());
    entries(&service["environment"]).into_iter().map(text).collect()
}

fn volumes(service: &BTreeMap<String, Yaml>) -> Vec<String> {
    let volumes = service.get("volumes").and_then(Yaml::as_vec).cloned().unwrap_or_default();
    volumes.iter().map(|volume| volume.as_str().unwrap().to_owned()).collect()
}

#[test]
fn addresses_are_those_of_before_with_tls() {
    let (base, tls) = (services("docker-compose.yml"), services("docker-compose.tls.yml"));
    for name in tls.keys().filter(|name| *name != "certificates") {
        assert!(base.contains_key(name), "there is no {name} in docker-compose.yml");
    }
    let verified = "?sslmode=verify-full&sslrootcert=/tls/ca.pem";
    for name in SERVICES {
        let (before, after) = (environment(&base[name]), environment(&tls[name]));
        assert_eq!(after["DATABASE_URL"], format!("{}{verified}", before["DATABASE_URL"]));
        let amqp = before["AMQP_URL"].replace("amqp://", "amqps://").replace(":5672/", ":5671/");
        assert_eq!(after["AMQP_URL"], amqp);
        assert_eq!((&*after["AMQP_CA_FILE"], &*after["TLS_CERT"]), ("/tls/ca.pem", "/tls/cert.pem"));
        assert_eq!(after["TLS_KEY"], "/tls/key.pem");
        assert_eq!(after["CONSOLE_URL"], before["CONSOLE_URL"].replace("http://127.0.0.1", "https://localhost"));
        let (before, after) = (environment(&base["console"]), environment(&tls["console"]));
        let url = format!("{}_URL", name.to_uppercase());
        assert_eq!(after[&url], before[&url].replace("http://", "https://"));
    }
    let tools = environment(&base["tools"]);
    assert_eq!(environment(&tls["tools"])["DATABASE_URL"], format!("{}{verified}", tools["DATABASE_URL"]));
    assert_eq!(environment(&tls["console"])["CA_FILE"], "/tls/ca.pem");
}

#[test]
fn each_server_gets_its_own_files_and_no_others() {
    let (services, all) = (services("docker-compose.tls.yml"), parse("docker-compose.tls.yml"));
    let given: BTreeSet<String> = volumes(&services["certificates"]).into_iter().collect();
    let declared = entries(&all["volumes"]);
    let script = services["certificates"]["command"][0].as_str().unwrap();
    for server in SERVERS {
        let volume = format!("{server}-tls");
        assert!(given.contains(&format!("{volume}:/to/{server}")), "{server} gets no certificate: {given:?}");
        assert!(declared.contains_key(&volume), "{volume} is not declared");
        assert!(script.split([' ', ';']).any(|word| word == server), "{server} is not in {script}");
        let mounted: Vec<_> = volumes(&services[server]).into_iter().filter(|mount| mount.contains("-tls:")).collect();
        assert_eq!(mounted, [format!("{volume}:/tls:ro")]);
        let waits = &entries(&services[server]["depends_on"])["certificates"]["condition"];
        assert_eq!(waits.as_str(), Some("service_completed_successfully"), "{server}");
    }
    assert_eq!(given.len(), SERVERS.len() + 1);
    // The names are those that the command writes.
    let source = read("tools/xtask/src/certificates.rs");
    let (_, list) = source.split_once("SERVERS: [&str; 8] =").unwrap();
    let names: Vec<&str> = list.split(';').next().unwrap().split('"').skip(1).step_by(2).collect();
    assert_eq!(names, SERVERS);
}

#[test]
fn the_databases_and_the_broker_take_no_connections_without_tls() {
    let services = services("docker-compose.tls.yml");
    for name in SERVICES {
        let database = &services[&format!("{name}-db")];
        let command: Vec<&str> =
            database["command"].as_vec().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        let settings: Vec<&str> = command[1..].chunks(2).map(|pair| pair[1]).collect();
        for setting in ["ssl=on", "ssl_cert_file=/tls/cert.pem", "ssl_key_file=/tls/key.pem"] {
            assert!(settings.contains(&setting), "{name}: {settings:?}");
        }
        let file = settings.iter().find_map(|setting| setting.strip_prefix("hba_file=")).unwrap();
        assert!(volumes(database).iter().any(|mount| mount.ends_with(&format!(":{file}:ro"))), "{name}: {file}");
    }
    let rules = read("deploy/postgres/pg_hba.tls.conf");
    assert!(rules.lines().all(|line| ["#", "local ", "hostssl "].iter().any(|kind| line.starts_with(kind))), "{rules}");
    assert!(read("rabbitmq/tls.conf").lines().any(|line| line == "listeners.tcp = none"));
    // Files that are mounted exist, except the certificates.
    for (name, service) in services {
        for mount in
            volumes(&service).iter().filter(|mount| mount.starts_with("./") && !mount.starts_with("./certificates"))
        {
            let path = mount.split(':').next().unwrap();
            assert!(root().join(path).is_file(), "{name} mounts {path}, which does not exist");
        }
    }
}
