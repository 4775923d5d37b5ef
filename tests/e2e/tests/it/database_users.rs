//! The services as users of PostgreSQL who own their database and are no superusers, as the scripts in
//! `deploy/postgres/` make them.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use shared_events::Service;
use testkit::{
    consistency::Expect,
    load_generator::LoadGenerator,
    stack::{Options, Stack},
};
use tokio::task::block_in_place;

const PASSWORD: &str = "the-services-password";

fn script(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/postgres").join(name);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

/// Runs a script in each service's database, as `user`.
fn run(stack: &Stack, name: &str, user: impl Fn(Service) -> &'static str) -> Result<()> {
    let script = script(name)?;
    for service in Service::ALL {
        let variables = [("DATABASE_OWNER", service.name()), ("DATABASE_OWNER_PASSWORD", PASSWORD)];
        block_in_place(|| stack.postgres.script(service.name(), user(service), &script, &variables))?;
    }
    Ok(())
}

/// From the next start on, each service connects as its own user, with this password.
fn connect_as_themselves(stack: &mut Stack, password: &str) {
    let port = stack.postgres.port();
    for replica in &mut stack.replicas {
        let service = replica.service;
        let url = format!("postgres://{service}:{password}@127.0.0.1:{port}/{service}");
        replica.settings.variables.retain(|(name, _)| name != "DATABASE_URL");
        replica.settings.variables.push(("DATABASE_URL".to_owned(), url));
    }
}

/// Checks that the services' users own their databases with everything in them, and may not do more.
fn check_rights(stack: &Stack) -> Result<()> {
    let rights = "SELECT count(*) FROM pg_roles WHERE rolname IN ('order', 'inventory', 'payment') AND NOT rolsuper \
                  AND NOT rolcreatedb AND NOT rolcreaterole AND NOT rolreplication AND NOT rolbypassrls";
    let count = block_in_place(|| stack.postgres.psql("postgres", rights))?;
    ensure!(count.trim() == "3", "{count} users without special rights");
    for service in Service::ALL {
        let foreign = format!(
            "SELECT relname FROM pg_class \
               WHERE relnamespace = 'public'::regnamespace AND relowner <> '\"{service}\"'::regrole \
             UNION SELECT datname FROM pg_database WHERE datname = '{service}' AND datdba <> '\"{service}\"'::regrole"
        );
        let foreign = block_in_place(|| stack.postgres.psql(service.name(), &foreign))?;
        ensure!(foreign.trim().is_empty(), "{service} does not own {foreign}");
        let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
        let tables = block_in_place(|| stack.postgres.psql(service.name(), tables))?;
        ensure!(tables.trim().parse::<u32>()? > 5, "{service} has {tables} tables");
        for other in Service::ALL.into_iter().filter(|other| *other != service) {
            let connect = format!("SELECT has_database_privilege('{service}', '{other}', 'CONNECT')");
            let may = block_in_place(|| stack.postgres.psql("postgres", &connect))?;
            ensure!(may.trim() == "f", "{service} may connect to the database of {other}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_new_volume_the_services_own_their_databases_and_nothing_else() -> Result<()> {
    let mut stack = Stack::servers("owners", Options::default()).await?;
    run(&stack, "owner.sql", |_| "postgres")?;
    connect_as_themselves(&mut stack, PASSWORD);
    stack.start_all()?;
    stack.ready().await?;
    check_rights(&stack)?;
    let mut load = LoadGenerator::start(&mut stack, 4).await?;
    load.ended(50).await?;
    // A replica takes over from one that is killed, which needs locks and notifications.
    let order = stack.replica(Service::Order, 0)?;
    order.kill()?;
    order.start()?;
    load.ended(50).await?;
    let answered = load.stop().await?;
    stack.assert_consistent(&answered, Expect::AsRequested).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_superuser_of_before_is_replaced_and_the_data_stays() -> Result<()> {
    let mut stack = Stack::servers("superusers", Options::default()).await?;
    let password = stack.postgres.password().to_owned();
    for service in Service::ALL {
        let create = format!("CREATE ROLE \"{service}\" SUPERUSER LOGIN PASSWORD '{password}'");
        block_in_place(|| stack.postgres.psql("postgres", &create))?;
    }
    connect_as_themselves(&mut stack, &password);
    stack.start_all()?;
    stack.ready().await?;
    let mut load = LoadGenerator::start(&mut stack, 4).await?;
    load.ended(50).await?;
    for replica in &mut stack.replicas {
        ensure!(replica.stop().await?.success(), "{replica} did not stop");
    }
    run(&stack, "replace-superuser.sql", Service::name)?;
    let former = "SELECT count(*) FROM pg_roles WHERE rolname LIKE '%\\_superuser' AND NOT rolcanlogin";
    let former = block_in_place(|| stack.postgres.psql("postgres", former))?;
    ensure!(former.trim() == "3", "{former} users of before");
    connect_as_themselves(&mut stack, PASSWORD);
    stack.start_all()?;
    stack.ready().await?;
    check_rights(&stack)?;
    load.ended(50).await?;
    let answered = load.stop().await?;
    stack.assert_consistent(&answered, Expect::AsRequested).await
}
