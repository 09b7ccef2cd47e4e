//! Buckets of a real S3 server (versitygw, which keeps plain files), for the tests beside the code and for those over
//! HTTP. One server per test process, started by the first test that needs it, ended with the last bucket and, whatever
//! happens, with the process.
//!
//! ```text
//! let bucket = Bucket::new();                      or Bucket::behind(line.address()) for a way that can break
//! bucket.name() .server() .settings(prefix) -> keys of [storage] for a configuration file  .variables(prefix)
//! bucket.files() -> [(key, path)]                  what is stored, as the server keeps it
//! bucket.unfinished() -> n                         multipart uploads that are neither complete nor aborted
//! ```

#![allow(
    dead_code,
    reason = "each user of the harness needs another part of it"
)]

use std::{
    fs::{self, File},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

const ACCESS_KEY: &str = "entrepot-test";
const SECRET_KEY: &str = "entrepot-test-secret";
/// How long the server may take until it listens.
const START_TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(10);

/// A bucket of its own, empty at first.
pub(crate) struct Bucket {
    server: Arc<Server>,
    name: String,
    endpoint: SocketAddr,
}

impl Bucket {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = Server::shared();
        let name = format!("bucket-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        fs::create_dir(server.root().join(&name)).expect("a folder for the bucket");
        Self {
            endpoint: server.address,
            server,
            name,
        }
    }

    /// The same bucket, asked through something that stands before the server at this address.
    pub(crate) fn behind(mut self, address: SocketAddr) -> Self {
        self.endpoint = address;
        self
    }

    /// Where the server itself listens.
    pub(crate) fn server(&self) -> SocketAddr {
        self.server.address
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Keys of `[storage]`, without its header, and `[storage.options]`.
    pub(crate) fn settings(&self, prefix: &str) -> String {
        let (name, endpoint) = (&self.name, self.endpoint);
        format!(
            "url = \"s3://{name}/{prefix}\"\n[storage.options]\nendpoint = \"http://{endpoint}\"\nallow_http = true\n\
             region = \"us-east-1\"\naccess_key_id = \"{ACCESS_KEY}\"\nsecret_access_key = \"{SECRET_KEY}\"\n"
        )
    }

    /// The same as variables of the environment.
    pub(crate) fn variables(&self, prefix: &str) -> Vec<(String, String)> {
        let options = [
            ("ENDPOINT", format!("http://{}", self.endpoint)),
            ("ALLOW_HTTP", "true".to_owned()),
            ("REGION", "us-east-1".to_owned()),
            ("ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ];
        let url = format!("s3://{}/{prefix}", self.name);
        let option = |(name, value)| (format!("ENTREPOT__STORAGE__OPTIONS__{name}"), value);
        let url = ("ENTREPOT__STORAGE__URL".to_owned(), url);
        options.into_iter().map(option).chain([url]).collect()
    }

    /// Every object, by its key.
    pub(crate) fn files(&self) -> Vec<(String, PathBuf)> {
        let folder = self.folder();
        let mut found = Vec::new();
        walk(&folder, &mut |path| {
            let key = path.strip_prefix(&folder).expect("below the folder");
            if !key.starts_with(".sgwtmp") {
                found.push((key.display().to_string(), path.to_owned()));
            }
        });
        found.sort();
        found
    }

    /// Multipart uploads that are neither complete nor aborted.
    pub(crate) fn unfinished(&self) -> usize {
        let uploads = self.folder().join(".sgwtmp/multipart");
        let objects = subfolders(&uploads);
        objects.iter().map(|object| subfolders(object).len()).sum()
    }

    fn folder(&self) -> PathBuf {
        self.server.root().join(&self.name)
    }
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.is_dir()).collect()
}

fn walk(folder: &Path, found: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, found);
        } else {
            found(&path);
        }
    }
}

/// A running versitygw.
struct Server {
    address: SocketAddr,
    folder: TempDir,
    keeper: Option<thread::JoinHandle<()>>,
    /// Closed, it ends the keeper, and that the server.
    stop: Option<mpsc::Sender<()>>,
}

impl Server {
    fn shared() -> Arc<Self> {
        static RUNNING: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *running = Arc::downgrade(&server);
            server
        })
    }

    fn start() -> Self {
        let program = program();
        let folder = tempfile::Builder::new()
            .prefix("entrepot-s3-")
            .tempdir()
            .expect("a temporary folder");
        fs::create_dir(folder.path().join("buckets")).expect("a folder for the buckets");
        loop {
            let (stop, stopped) = mpsc::channel();
            let (started, is_started) = mpsc::channel();
            let keeper = thread::spawn({
                let (program, folder) = (program.clone(), folder.path().to_owned());
                move || keep(&program, &folder, &started, &stopped)
            });
            // None: somebody else took the port meanwhile.
            if let Some(address) = is_started.recv().expect("the keeper says how it went") {
                return Self {
                    address,
                    folder,
                    keeper: Some(keeper),
                    stop: Some(stop),
                };
            }
        }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("buckets")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(keeper) = self.keeper.take() {
            // A keeper that panicked has said so.
            let _ = keeper.join();
        }
    }
}

/// The life of the server, on a thread of its own: the kernel ends the server when the thread that started it is gone,
/// and the thread of a test is gone before the next test.
fn keep(
    program: &Path,
    folder: &Path,
    started: &mpsc::Sender<Option<SocketAddr>>,
    stopped: &mpsc::Receiver<()>,
) {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let address = port.expect("a free port");
    let log = folder.join("versitygw.log");
    let mut child = spawn(program, folder, address, &log);
    let deadline = Instant::now() + START_TIMEOUT;
    while !listens(&mut child, address) {
        if child.try_wait().expect("wait for a child").is_some() {
            let text = fs::read_to_string(&log).unwrap_or_default();
            assert!(
                text.contains("address already in use"),
                "versitygw ended: {text}"
            );
            started.send(None).expect("somebody waits for the server");
            return;
        }
        let text = || fs::read_to_string(&log).unwrap_or_default();
        assert!(
            Instant::now() < deadline,
            "versitygw did not start: {}",
            text()
        );
        pause();
    }
    started
        .send(Some(address))
        .expect("somebody waits for the server");
    // An error, too, says that it is time.
    let _ = stopped.recv();
    let _ = child.kill();
    let _ = child.wait();
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells when a foreign process is ready"
)]
fn pause() {
    thread::sleep(POLL);
}

/// Is it our server that listens there?
fn listens(child: &mut Child, address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok() && child.try_wait().expect("wait for a child").is_none()
}

fn spawn(program: &Path, folder: &Path, address: SocketAddr, log: &Path) -> Child {
    let output = File::create(log).expect("a log file");
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .arg(program)
        .args(["--access", ACCESS_KEY, "--secret", SECRET_KEY])
        .args(["--keep-alive", "--quiet", "--port", &address.to_string()])
        .arg("posix")
        .arg(folder.join("buckets"))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("a second handle"))
        .stderr(output)
        .spawn()
        .unwrap_or_else(|error| panic!("start versitygw: {error}"))
}

/// As `scripts/tools.txt` has it.
fn program() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/tool-path.sh");
    let output = Command::new(script).arg("versitygw").output();
    let output = output.expect("run scripts/tool-path.sh");
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    assert!(
        path.is_file(),
        "`versitygw` is not installed, and this test needs it\n\nhint: run `make tools`"
    );
    path
}
