//! Edits are noticed while the source runs.

use super::*;

/// A source that runs until dropped.
struct Running {
    reloads: Receiver<Reload>,
    stopper: StopHandle,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(path: &Path, mode: WatchMode) -> Self {
        let mut loader = Loader::new(path);
        loader.reload();
        let options = match mode {
            // So slow that a test that passes was told by an event.
            WatchMode::Events => WatchOptions { mode, poll: Duration::from_secs(60), niceness: 0 },
            WatchMode::Poll => WatchOptions { mode, poll: Duration::from_millis(20), niceness: 0 },
        };
        let source = PolicyWatcher::new(loader, options);
        let stopper = source.stop_handle();
        let (sender, reloads) = mpsc::channel();
        let thread = source.spawn(move |reload| _ = sender.send(reload)).unwrap();
        Self { reloads, stopper, thread: Some(thread) }
    }

    fn next(&self) -> Reload {
        self.reloads.recv_timeout(Duration::from_secs(10)).expect("a reload within ten seconds")
    }

    /// Waits for a snapshot that holds this many mappings.
    fn until(&self, mappings: usize) -> Arc<Snapshot> {
        loop {
            if let ReloadOutcome::Published(snapshot) = self.next().outcome
                && snapshot.counts().mappings == mappings
            {
                return snapshot;
            }
        }
    }

    fn until_refused(&self) -> Reload {
        loop {
            let reload = self.next();
            if matches!(reload.outcome, ReloadOutcome::Refused) {
                return reload;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

/// Runs `test` with events and with the poll alone.
fn both(test: impl Fn(WatchMode)) {
    test(WatchMode::Events);
    test(WatchMode::Poll);
}

#[test]
fn edits_of_every_sort_are_noticed() {
    both(|mode| {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("a.yaml"), mapping("a")).unwrap();
        let running = Running::start(dir.path(), mode);
        // In place.
        fs::write(at("a.yaml"), mappings(&["a", "b"])).unwrap();
        running.until(2);
        // By an atomic rename.
        replace(&at("a.yaml"), &mappings(&["a", "b", "c"]));
        running.until(3);
        // A new file in a new directory in a new directory.
        fs::create_dir_all(at("x/y")).unwrap();
        fs::write(at("x/y/d.yaml"), mapping("d")).unwrap();
        running.until(4);
        fs::write(at("x/y/d.yaml"), mappings(&["d", "e"])).unwrap();
        running.until(5);
        // Deleted.
        fs::remove_dir_all(at("x")).unwrap();
        running.until(3);
        // Made anew.
        fs::create_dir(at("x")).unwrap();
        fs::write(at("x/f.yaml"), mapping("f")).unwrap();
        running.until(4);
    });
}

#[test]
fn broken_yaml_is_reported_once_and_its_end_too() {
    both(|mode| {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.yaml"), mapping("a")).unwrap();
        let running = Running::start(dir.path(), mode);
        replace(&dir.path().join("b.yaml"), "a: b: c\n");
        let refused = running.until_refused();
        assert_eq!(&*refused.problems[0].file, "b.yaml");
        replace(&dir.path().join("b.yaml"), "a: [\n");
        let other = running.until_refused();
        assert_ne!(refused.problems, other.problems);
        fs::remove_file(dir.path().join("b.yaml")).unwrap();
        assert!(matches!(running.next().outcome, ReloadOutcome::Unchanged));
    });
}

#[test]
fn the_swap_of_a_mounted_config_map_is_noticed_and_whole() {
    both(|mode| {
        let dir = tempfile::tempdir().unwrap();
        mount(dir.path(), "0", &[("a.yaml", mapping("a")), ("b.yaml", mapping("b"))]);
        let running = Running::start(dir.path(), mode);
        for version in 1..6 {
            let names: Vec<String> = (0..=version).map(|n| format!("m{n}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let text = mappings(&names);
            mount(
                dir.path(),
                &version.to_string(),
                &[("a.yaml", text.clone()), ("b.yaml", text.replace("name: m", "name: w"))],
            );
            fs::remove_dir_all(dir.path().join(format!("..{}", version - 1))).unwrap();
            loop {
                if let ReloadOutcome::Published(snapshot) = running.next().outcome {
                    let mappings = snapshot.counts().mappings;
                    assert_eq!(mappings % 2, 0, "files of one swap were published apart");
                    if mappings == 2 * (version + 1) {
                        break;
                    }
                }
            }
        }
    });
}

#[test]
fn a_directory_that_is_deleted_and_made_anew_is_noticed() {
    both(|mode| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/policies");
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("a.yaml"), mapping("a")).unwrap();
        let running = Running::start(&path, mode);
        fs::rename(dir.path().join("deep"), dir.path().join("gone")).unwrap();
        running.until_refused();
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("a.yaml"), mappings(&["a", "b"])).unwrap();
        running.until(2);
        fs::write(path.join("a.yaml"), mappings(&["a", "b", "c"])).unwrap();
        running.until(3);
    });
}

/// What a kernel watches is an inode. One that comes back under its name is not watched any more.
#[test]
fn a_directory_that_is_replaced_is_still_watched() {
    let rename_and_back = |path: &Path| {
        let aside = path.with_extension("x");
        fs::rename(path, &aside).unwrap();
        fs::rename(&aside, path).unwrap();
    };
    let copy_anew = |path: &Path| {
        let text = fs::read(path.join("team/a.yaml")).unwrap();
        fs::remove_dir_all(path).unwrap();
        fs::create_dir_all(path.join("team")).unwrap();
        fs::write(path.join("team/a.yaml"), text).unwrap();
    };
    let replacements: [(&str, &dyn Fn(&Path)); 2] =
        [("renamed and renamed back", &rename_and_back), ("removed and copied anew", &copy_anew)];
    for (name, replacement) in replacements {
        let dir = tempfile::tempdir().unwrap();
        let live = dir.path().join("live");
        let file = live.join("team/a.yaml");
        fs::create_dir_all(live.join("team")).unwrap();
        fs::write(&file, mapping("m0")).unwrap();
        let running = Running::start(&live, WatchMode::Events);
        // Once this is noticed, events come.
        fs::write(&file, mappings(&["m0", "m1"])).unwrap();
        running.until(2);
        for round in 0..3 {
            replacement(&live);
            // Whether that is told of depends on how it looked meanwhile; the next edit must be.
            std::thread::park_timeout(Duration::from_millis(200));
            let names: Vec<String> = (0..round + 3).map(|n| format!("m{n}")).collect();
            fs::write(&file, mappings(&names.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
            println!("{name}, round {round}");
            running.until(round + 3);
        }
    }
}

#[test]
fn an_edit_is_live_within_a_second_under_constant_edits() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a.yaml"), mapping("a")).unwrap();
    let running = Running::start(dir.path(), WatchMode::Events);
    let noisy = dir.path().join("noise.yaml");
    let (stop, stopped) = mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let mut n = 0_u64;
        while stopped.recv_timeout(Duration::from_millis(3)) == Err(mpsc::RecvTimeoutError::Timeout) {
            n += 1;
            replace(&noisy, &mappings(&[&format!("noise-{}", n % 100)]));
        }
    });
    running.until(2);
    let mut took = Vec::new();
    for edit in 0..5 {
        let start = Instant::now();
        let names: Vec<String> = (0..edit + 2).map(|n| format!("m{n}")).collect();
        replace(&dir.path().join("a.yaml"), &mappings(&names.iter().map(String::as_str).collect::<Vec<_>>()));
        running.until(edit + 3);
        took.push(start.elapsed());
    }
    // On a machine that is busy with something else, one or the other edit waits.
    took.sort_unstable();
    assert!(took[took.len() / 2] < Duration::from_secs(1), "{took:?}");
    stop.send(()).unwrap();
    writer.join().unwrap();
}

#[test]
fn a_file_that_is_being_written_is_not_read_by_halves() {
    use std::io::Write;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.yaml");
    fs::write(&path, mapping("a")).unwrap();
    let running = Running::start(dir.path(), WatchMode::Events);
    // Once this is noticed, events come.
    replace(&path, &mappings(&["a", "b"]));
    running.until(2);
    let mut file = fs::File::create(&path).unwrap();
    for n in 0..10 {
        write!(file, "---\n{}", mapping(&format!("m{n}"))).unwrap();
        file.flush().unwrap();
        // Slower than the pause that ends an edit would be if the file were closed.
        std::thread::park_timeout(Duration::from_millis(10));
    }
    drop(file);
    let ReloadOutcome::Published(snapshot) = running.next().outcome else { panic!("refused") };
    assert_eq!(snapshot.counts().mappings, 10);
}
