//! Child processes that end with the test.
//!
//! Each child has a process group of its own, is killed when its [`Process`] is dropped, and writes its output to a
//! file that is shown when the test fails. What the test process leaves when it ends, because it is killed or because a
//! static holds it, a guardian (one `sh` per test process, reading a pipe that ends with us) kills and removes.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use rustix::process::{Pid, kill_process_group};

pub use rustix::process::Signal;

use super::wait::until;

/// How much of a log is shown when a test fails.
const SHOWN: usize = 6_000;

/// A running child.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, with its output in `directory/name.log`.
    pub fn spawn(name: &str, mut command: Command, directory: &Path) -> Self {
        let log = directory.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log).expect("a log file can be made");
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a file handle can be cloned"))
            .stderr(output)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}: {command:?}"));
        guard("add", &child.id().to_string());
        Self { name: name.to_owned(), child, log }
    }

    /// Its output so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The process id, which is also the process group.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal to the process group.
    pub fn signal(&self, signal: Signal) {
        let group = Pid::from_raw(self.child.id().cast_signed()).expect("a child's id is not zero");
        // The caller also accepts a group that has ended already.
        let _ = kill_process_group(group, signal);
    }

    /// The exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Awaits the end.
    pub async fn wait(&mut self, patience: Duration) -> ExitStatus {
        let name = self.name.clone();
        until(&format!("{name} ends"), patience, async || self.ended()).await
    }

    /// Kills it without a chance to clean up, and collects it.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// Releases the child: neither a drop nor the guardian ends it any more.
    pub fn leave_running(self) {
        guard("remove", &self.child.id().to_string());
        std::mem::forget(self);
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "the harness of tests shows stderr when a test fails")]
    fn drop(&mut self) {
        self.kill();
        guard("remove", &self.child.id().to_string());
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.get(log.len().saturating_sub(SHOWN)..).unwrap_or(&log);
            eprintln!("---- {} said ----\n{tail}\n---- end of {} ----", self.name, self.name);
        }
    }
}

/// Makes the guardian remove a folder once this process has ended and its children are dead, even if its owner is never
/// dropped.
pub fn sweep(folder: &Path) {
    guard("sweep", folder.to_str().expect("a temporary folder's path is UTF-8"));
}

/// Registers a process group or a folder with the guardian.
fn guard(verb: &str, what: &str) {
    static GUARDIAN: OnceLock<Mutex<ChildStdin>> = OnceLock::new();
    // A child that was just killed may write to its folder for a moment.
    const SCRIPT: &str = r#"
        groups=" "
        while read -r verb what; do
            case $verb in
            add) groups="$groups$what " ;;
            remove) groups="${groups%% $what *} ${groups#* $what }" ;;
            sweep) set -- "$@" "$what" ;;
            esac
        done
        for group in $groups; do kill -s KILL -- "-$group"; done
        for folder; do
            tries=0
            while rm -rf -- "$folder"; [ -e "$folder" ] && [ $tries -lt 100 ]; do
                tries=$((tries + 1))
                sleep 0.1
            done
        done
    "#;
    let guardian = GUARDIAN.get_or_init(|| {
        #[expect(clippy::zombie_processes, reason = "it outlives us; that is its purpose")]
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT])
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts");
        Mutex::new(child.stdin.take().expect("stdin is piped"))
    });
    let mut pipe = guardian.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    writeln!(pipe, "{verb} {what}").expect("the guardian reads");
}
