//! One PostgreSQL server per test process, and a fresh database for each test. The library's own tests use this file too.
//!
//! The server listens on a socket in a folder of its own. It ends, and its folder goes, when the test process ends in
//! whatever way: the shell around it reads from a pipe that is closed then.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;

/// The collation of its databases is that of people, so that text that must be compared as bytes is shown to be.
const SCRIPT: &str = r#"
set -eu
trap '' INT TERM HUP
folder=$(mktemp -d --tmpdir=/tmp)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"$1/initdb" --pgdata=data --username=entrepot --auth=trust --no-sync --encoding=UTF8 --locale=C.UTF-8 \
    --locale-provider=icu --icu-locale=en-US >log 2>&1 || { cat log >&2; exit 1; }
"$1/postgres" -D data -k "$folder" -c listen_addresses= -c max_connections=500 -c shared_buffers=32MB \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
    -c wal_level=minimal -c max_wal_senders=0 -c min_wal_size=32MB -c max_wal_size=64MB >>log 2>&1 &
echo "$folder"
cat >/dev/null
kill -INT $!
wait
"#;

const START_TIMEOUT: Duration = Duration::from_secs(120);

/// A database goes when so many newer ones were made and nobody is connected to it: hundreds of them fill a small disk.
const DATABASES_KEPT: u32 = 64;

static SERVER: OnceCell<Server> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

struct Server {
    /// Where its socket is.
    folder: PathBuf,
    /// Holds the pipe that keeps the server running.
    _shell: Child,
}

/// The URL of a database that is empty and that nobody else uses.
pub(crate) async fn fresh_database() -> String {
    let server = SERVER.get_or_init(Server::start).await;
    let number = DATABASES.fetch_add(1, Ordering::Relaxed);
    let name = format!("t{number}");
    let mut connection = PgConnection::connect(&server.url("postgres"))
        .await
        .expect("the server runs");
    connection
        .execute(AssertSqlSafe(format!(
            "CREATE DATABASE {name} STRATEGY file_copy"
        )))
        .await
        .expect("nobody else uses this name");
    if let Some(old) = number.checked_sub(DATABASES_KEPT) {
        let drop = format!("DROP DATABASE IF EXISTS t{old}");
        // It is refused while somebody is connected.
        let _ = connection.execute(AssertSqlSafe(drop)).await;
    }
    connection.close().await.expect("a connection in order");
    server.url(&name)
}

impl Server {
    async fn start() -> Self {
        let mut command = as_postgres();
        command.args(["sh", "-c", SCRIPT, "sh"]).arg(programs());
        let mut shell = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let output = shell.stdout.take().expect("it is piped");
        let line = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(output).read_line(&mut line).map(|_| line)
        });
        let line = line.await.expect("no panic").expect("a pipe can be read");
        assert!(
            !line.is_empty(),
            "PostgreSQL was not initialised: see above"
        );
        let server = Self {
            folder: line.trim_end().into(),
            _shell: shell,
        };
        server.wait_until_ready().await;
        server
    }

    async fn wait_until_ready(&self) {
        let begun = Instant::now();
        while let Err(error) = PgConnection::connect(&self.url("postgres")).await {
            assert!(
                begun.elapsed() < START_TIMEOUT,
                "PostgreSQL does not start: {error}; see {}/log",
                self.folder.display()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn url(&self, database: &str) -> String {
        let folder = self.folder.display();
        format!("postgres:///{database}?host={folder}&user=entrepot")
    }
}

/// PostgreSQL refuses to run as root.
fn as_postgres() -> Command {
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
        command
    } else {
        Command::new("env")
    }
}

/// The folder of the newest version's programs, where Debian puts them.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let newest = versions
        .filter_map(|version| {
            let version = version.ok()?;
            let number: u32 = version.file_name().to_str()?.parse().ok()?;
            let programs = version.path().join("bin");
            has_server(&programs).then_some((number, programs))
        })
        .max();
    newest.map_or_else(
        || panic!("PostgreSQL is not installed: run scripts/install-tools.sh (`make tools`)"),
        |(_, programs)| programs,
    )
}

fn has_server(programs: &Path) -> bool {
    ["initdb", "postgres"]
        .iter()
        .all(|name| programs.join(name).is_file())
}
