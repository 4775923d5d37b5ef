//! A PostgreSQL and a RabbitMQ for as long as this program runs; it prints where they are. Ctrl-C ends all three.
#![allow(clippy::print_stdout, reason = "a command line tool talks to its caller there")]

fn main() -> anyhow::Result<()> {
    let servers = test_servers::Both::start()?;
    println!("# {}", servers.to_string().replace('\n', "\n# "));
    for (name, value) in servers.environment()? {
        println!("export {name}='{value}'");
    }
    println!("# Ctrl-C ends them and removes their data.");
    // There is nothing to do at the end of this process: what keeps the servers sees it.
    loop {
        std::thread::park();
    }
}
