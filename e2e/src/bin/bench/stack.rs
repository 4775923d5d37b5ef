//! The three services as processes, on servers of their own.

use anyhow::{Result, ensure};
use e2e::{
    process::cargo,
    stack::{Options, Stack},
};
use shared_events::Service;

use crate::{
    Settings,
    floor::{self, Floor},
    progress::Progress,
};

pub(crate) async fn measure(settings: &Settings, progress: &Progress) -> Result<Vec<Floor>> {
    let built = cargo(&["build", "--release", "--workspace", "--bins"]).status()?;
    ensure!(built.success(), "the programs do not compile");
    let options = Service::ALL.into_iter().fold(Options { replicas: 2, ..Options::default() }, |options, service| {
        let mut arguments = vec!["--log=warn"];
        arguments.extend(settings.system.iter().map(String::as_str));
        options.with(service, &arguments)
    });
    let mut stack = Stack::servers("bench", options).await?;
    start_first(&mut stack).await?;
    stop(&mut stack).await?;
    let floor = floor::measure(&stack, settings, progress).await?;
    stack.passed();
    Ok(floor)
}

/// Starts the first replica of each service.
async fn start_first(stack: &mut Stack) -> Result<()> {
    for service in Service::ALL {
        stack.replica(service, 0)?.start()?;
    }
    stack.ready().await
}

/// Stops all replicas that run, in good order.
async fn stop(stack: &mut Stack) -> Result<()> {
    for replica in &mut stack.replicas {
        if replica.runs() {
            let status = replica.stop().await?;
            ensure!(status.success(), "{replica} ended with {status}");
        }
    }
    Ok(())
}
