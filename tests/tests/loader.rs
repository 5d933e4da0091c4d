//! Which files are loaded as plugins, and the one line that says why another is not.

// Helpers of tests are not seen as tests by the lint.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../fixtures/probe/src/fake_host.rs"]
#[allow(dead_code)] // The probe uses another part of it.
mod fake_host;

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use fake_host::FakeHost;
use trunkline::loader::{Problem, load};
use trunkline_plugin::{Answer, Caller, Channel, Key};
use trunkline_tests::binaries::trunkline;
use trunkline_tests::fixtures::{self, Api, plugin};
use trunkline_tests::folder::Folder;
use trunkline_tests::skip;

const CALLER: Caller<'static> =
    Caller { name: "test", version: 1, server: Key([1; 32]), local: true };

/// The one line with which this file is refused, without the file's name at its beginning.
fn refusal(file: &Path) -> String {
    let line = load(file, None).expect_err("this file must not load").to_string();
    let why = line.strip_prefix(&format!("{}: ", file.display()));
    let why = why.unwrap_or_else(|| panic!("the line names the file first: {line}"));
    assert!(!why.contains('\n'), "it is one line: {why}");
    assert!(why.len() < 300, "it is a short line: {why}");
    why.to_owned()
}

#[track_caller]
fn assert_refused(file: &Path, expected: &str) {
    let why = refusal(file);
    assert!(why.contains(expected), "{:?} is refused by {why:?}, not {expected:?}", file);
}

#[test]
fn a_file_that_is_not_a_library_is_refused() {
    let folder = Folder::new();
    let path = folder.path();
    assert_refused(&path.join("no.so"), "there is no such file; build the plugin");
    assert_refused(path, "it is a folder; name the plugin's .so file in it");
    assert_refused(&folder.write("empty.so", ""), "it is empty; copy or build it again");
    for text in ["x", "\u{7f}", "# a script\n", "\u{7f}EL\n", &"text\n".repeat(10_000)] {
        assert_refused(&folder.write("text.so", text), "; ");
    }
    assert_refused(&folder.write("text.so", "text"), "it is not a shared library");
    let random: Vec<u8> =
        (0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    assert_refused(&folder.write("noise.so", [b"\x7fELF", random.as_slice()].concat()), "; ");
    assert_refused(Path::new("/dev/zero"), "it is not a plain file");
    let socket = path.join("socket.so");
    let _listener = UnixListener::bind(&socket).unwrap();
    assert_refused(&socket, "it is not a plain file");
}

#[test]
fn an_executable_is_refused() {
    assert_refused(&std::env::current_exe().unwrap(), "but no Trunkline plugin");
}

#[test]
fn a_file_cut_off_at_any_length_is_refused() {
    let whole = fs::read(plugin(Api::Ours, "echo")).unwrap();
    let folder = Folder::new();
    let spread = (1..256).map(|part| whole.len() / 256 * part);
    for len in (1..4096).chain(spread).chain(whole.len() - 256..whole.len()) {
        let file = folder.write("cut.so", &whole[..len]);
        match load(&file, None).map_err(|error| error.problem) {
            Err(Problem::Truncated { .. }) => {}
            other => panic!("with {len} of {} bytes: {other:?}", whole.len()),
        }
    }
    load(&folder.write("whole.so", &whole), None).expect("the whole file loads");
}

#[test]
fn a_file_with_false_headers_is_refused_without_a_crash() {
    let whole = fs::read(plugin(Api::Ours, "echo")).unwrap();
    let folder = Folder::new();
    // Each byte of the ELF header, inverted; the header says where everything else is. Some of its
    // bytes have no meaning, and the file loads.
    for at in 0..64 {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        let file = folder.write("wrong.so", &bytes);
        if load(&file, None).is_err() {
            refusal(&file);
        }
    }
}

#[test]
fn a_library_for_another_machine_is_refused() {
    let mut bytes = fs::read(plugin(Api::Ours, "echo")).unwrap();
    // `e_machine` is in bytes 18 and 19: 8 is MIPS, 9999 is undefined.
    bytes[18..20].copy_from_slice(&8u16.to_ne_bytes());
    let folder = Folder::new();
    let this = std::env::consts::ARCH;
    let expected = format!("it is built for mips, but this machine is {this}; ");
    let expected = expected + "build it for this machine";
    assert_refused(&folder.write("mips.so", &bytes), &expected);
    bytes[18..20].copy_from_slice(&9999u16.to_ne_bytes());
    assert_refused(&folder.write("other.so", &bytes), "it is built for machine type 9999, ");
}

#[test]
fn a_c_library_is_refused_and_none_of_its_code_runs() {
    let folder = Folder::new();
    let mark = folder.path().join("it-ran");
    let source = folder.write("lib.c", C_LIBRARY.replace("MARK", mark.to_str().unwrap()));
    let library = folder.path().join("lib.so");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    match compiled {
        Ok(status) if status.success() => {
            assert_refused(&library, "it is a shared library but no Trunkline plugin; ");
            assert!(!mark.exists(), "the initialiser of a library that is no plugin ran");
        }
        _ => skip::aloud("a C library as a plugin", "cc, a C compiler, is not installed"),
    }
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps.lines().filter_map(|line| line.split_whitespace().nth(5));
    let libc = libc.into_iter().find(|path| path.contains("libc.so") || path.contains("libc-"));
    if let Some(libc) = libc {
        assert_refused(Path::new(libc), "it is a shared library but no Trunkline plugin; ");
    }
}

const C_LIBRARY: &str = r#"
#include <stdio.h>
__attribute__((constructor)) static void begin(void) { fclose(fopen("MARK", "w")); }
int add(int a, int b) { return a + b; }
"#;

/// Compiles a shared library with more arguments, or says that there is no compiler.
fn compile(what: &str, source: &Path, library: &Path, more: &[&str]) -> bool {
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).args([library, source]).args(more);
    let compiled = compiler.status().is_ok_and(|status| status.success());
    if !compiled {
        skip::aloud(what, "cc, a C compiler, is not installed");
    }
    compiled
}

#[test]
fn a_library_with_the_right_header_and_null_functions_is_refused() {
    let folder = Folder::new();
    let (source, library) = (folder.write("null.c", NULL_FUNCTIONS), folder.path().join("null.so"));
    if !compile("a plugin with null functions", &source, &library, &[]) {
        return;
    }
    // In a process of its own, which may crash.
    let output = Command::new(trunkline()).arg("check").arg(&library).output();
    let output = output.expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{}: {said}", output.status);
    assert!(said.contains("another release of abi_stable"), "{said}");
}

/// The header of abi_stable 0.11; all that it points to is zero.
const NULL_FUNCTIONS: &str = r#"
static void *nothing[64];
#define EIGHT nothing, nothing, nothing, nothing, nothing, nothing, nothing, nothing
struct { char magic[32]; unsigned major, minor; void *rest[32]; }
_1as_0lib_1header_0root_bmodule_bloader = {
    "abi stable library for Rust     ", 0, 11, { EIGHT, EIGHT, EIGHT, EIGHT }
};
"#;

#[test]
fn a_library_that_looks_for_others_beside_itself_is_told_why_that_fails() {
    let folder = Folder::new();
    let (helper, library) = (folder.path().join("libhelper.so"), folder.path().join("main.so"));
    let what = "a plugin with $ORIGIN";
    let source = folder.write("helper.c", "int help(void) { return 1; }");
    if !compile(what, &source, &helper, &[]) {
        return;
    }
    let symbol =
        "int help(void); int _1as_0lib_1header_0root_bmodule_bloader(void) { return help(); }";
    let source = folder.write("main.c", symbol);
    let search = format!("-L{}", folder.path().display());
    for origin in ["$ORIGIN", "/nowhere:${ORIGIN}"] {
        let runpath = format!("-Wl,-rpath,{origin}");
        assert!(compile(what, &source, &library, &[&search, "-lhelper", &runpath]));
        let expected = "libhelper.so: cannot open shared object file: No such file or directory; \
                        plugins are loaded from memory, so $ORIGIN in its RUNPATH is not its \
                        folder: build it with an absolute RUNPATH, or set LD_LIBRARY_PATH";
        assert_refused(&library, expected);
    }
    assert!(compile(what, &source, &library, &[&search, "-lhelper"]));
    assert_refused(&library, "No such file or directory; build it again");
}

#[test]
fn a_plugin_for_another_major_version_of_the_api_is_refused() {
    let expected = "it is built for plugin API 2.0.0, but this server has 1.3.0; \
                    build it with trunkline-plugin 1.3.0";
    assert_eq!(refusal(&plugin(Api::OtherMajor, "echo")), expected);
}

#[test]
fn a_plugin_with_a_changed_layout_is_refused_with_the_first_difference() {
    let why = refusal(&plugin(Api::ChangedLayout, "echo"));
    let expected = "its plugin API differs at `about.out.put.param_1.name`: expected field ptr, \
                    found field len; build it with an unchanged trunkline-plugin";
    assert_eq!(why, expected);
}

#[test]
fn a_plugin_that_cannot_unwind_is_refused() {
    assert_refused(&plugin(Api::PanicAbort, "echo"), "it is built with panic = \"abort\"");
}

#[test]
fn a_plugin_for_a_newer_minor_version_runs_without_its_new_functions() {
    let module = load(&plugin(Api::NewerMinor, "newer"), None).expect("a newer plugin loads");
    let host = FakeHost::new("newer");
    let mut instance = module.create(host.clone(), "{}").expect("a newer plugin starts");
    assert_eq!(instance.open(Channel::new(7), &CALLER), Ok(Answer::Accept));
    assert_eq!(host.said(), ["join 7 7"]);
}

#[test]
fn a_plugin_for_version_1_0_of_the_api_runs() {
    let module = load(&plugin(Api::OlderMinor, "echo"), None).expect("an older plugin loads");
    assert_eq!((module.about().name(), module.about().version()), ("echo", 1));
    let host = FakeHost::new("echo");
    let mut instance = module.create(host.clone(), "{}").expect("an older plugin starts");
    assert_eq!(instance.open(Channel::new(7), &CALLER), Ok(Answer::Accept));
    assert_eq!(host.said(), ["join 7 7"]);
    assert_eq!(instance.stop(), Ok(()));
}

/// The output of the program that hosts plugins with this API, for one plugin.
fn run(api: Api, plugin: &Path) -> String {
    let output = Command::new(fixtures::host(api)).arg(plugin).output().expect("the probe runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the host for {api:?} runs {}: {errors}", plugin.display());
    String::from_utf8(output.stdout).expect("the probe prints text")
}

#[test]
fn a_host_of_version_1_0_runs_a_current_plugin_and_refuses_newer_functions() {
    let refused = "plugin::dials: open_link not-supported\n\
                   plugin::dials: close_link not-supported\n\
                   plugin::dials: addresses []\n\
                   plugin::dials: uses not-supported\n\
                   plugin::dials: invites not-supported\n\
                   plugin::dials: call Over(Err(Refused(Reason { by: Server, \
                   code: \"not-supported\", \
                   text: \"this server's plugin API is older than 1.2 and has no calls; \
                   run a newer server\" })))\n\
                   plugin::dials: data_dir not-supported\n\
                   plugin::dials: path not-supported\n\
                   open: Accept\n\
                   said: join 9 9\n";
    assert_eq!(run(Api::OlderMinor, &plugin(Api::Ours, "dials")), refused);
    let equal = "open: Accept\nsaid: join 9 9\n";
    assert_eq!(run(Api::OlderMinor, &plugin(Api::OlderMinor, "echo")), equal);
}

#[test]
fn a_newer_host_runs_older_and_equal_plugins() {
    let run = |file: PathBuf| run(Api::NewerMinor, &file);
    let older = "open: Accept\nsaid: join 9 9\ncall: None\nsaid: \nask: None\n";
    assert_eq!(run(plugin(Api::OlderMinor, "echo")), older, "it is told of no call");
    let refused = "call: Some(())\nsaid: refuse_call 7 no-calls: this plugin accepts no calls\n";
    let today = format!("open: Accept\nsaid: join 9 9\n{refused}ask: None\n");
    assert_eq!(run(plugin(Api::Ours, "echo")), today);
    let served = format!(
        "plugin::dials: open_link done\n\
         plugin::dials: close_link done\n\
         plugin::dials: addresses [\"unix:alpha.sock~noauth\", \"net:192.168.0.1:8008~shs\"]\n\
         plugin::dials: uses done\n\
         plugin::dials: invites done\n\
         plugin::dials: call Over(Ok([71, 69, 84]))\n\
         plugin::dials: /state/data/probe\n\
         plugin::dials: data_dir done\n\
         plugin::dials: /config/words\n\
         plugin::dials: path done\n\
         open: Accept\n\
         said: open_link net:beta:8008, close_link {}, addresses Local, uses store 2, \
         invites watcher, call store 0 Anywhere 0 get 1s, data_dir, join 9 9\n\
         {refused}ask: None\n",
        Key([2; 32])
    );
    assert_eq!(run(plugin(Api::Ours, "dials")), served);
    let equal = "plugin::newer: the host answers Some(42)\n\
                 open: Accept\n\
                 said: join 9 9\n\
                 call: Some(())\n\
                 said: refuse_call 7 no-calls: this plugin accepts no calls\n\
                 plugin::newer: asked, the host answers Some(42)\n\
                 ask: Some(Ok(()))\n";
    assert_eq!(run(plugin(Api::NewerMinor, "newer")), equal);
}

#[test]
fn different_versions_and_the_same_file_twice_coexist() {
    let files = [
        plugin(Api::Ours, "echo"),
        plugin(Api::NewerMinor, "newer"),
        plugin(Api::Ours, "never-reads"),
        plugin(Api::OlderMinor, "echo"),
    ];
    let host = FakeHost::new("any");
    let modules = files.map(|file| load(&file, None).expect("each of them loads"));
    assert_eq!(
        modules.map(|module| module.about().name()),
        ["echo", "newer", "never-reads", "echo"]
    );
    let start =
        |module: &trunkline_plugin::host::Module| module.create(host.clone(), "{}").unwrap();
    for mut instance in modules.iter().chain(&modules).map(start) {
        assert_eq!(instance.open(Channel::new(1), &CALLER), Ok(Answer::Accept));
    }
    let expected = ["join 1 1", "join 1 1", "hold 1", "join 1 1"];
    assert_eq!(host.said(), [expected, expected].concat());
}

#[test]
fn a_replaced_file_loads_as_the_new_plugin() {
    let folder = Folder::new();
    let file = folder.path().join("plugin.so");
    for name in ["echo", "never-reads", "echo"] {
        fs::copy(plugin(Api::Ours, name), &file).unwrap();
        assert_eq!(load(&file, None).unwrap().about().name(), name, "what the file holds now");
    }
}

#[test]
fn a_loaded_plugin_survives_overwriting_of_its_file() {
    let folder = Folder::new();
    let file = folder.path().join("plugin.so");
    fs::copy(plugin(Api::Ours, "echo"), &file).unwrap();
    let module = load(&file, None).unwrap();
    fs::write(&file, "gone").unwrap();
    let mut instance = module.create(FakeHost::new("echo"), "{}").unwrap();
    assert_eq!(instance.open(Channel::new(1), &CALLER), Ok(Answer::Accept));
}

#[test]
fn a_relative_path_is_not_searched_in_library_folders() {
    assert_refused(Path::new("libc.so.6"), "there is no such file");
}

#[test]
fn only_the_file_with_the_given_hash_is_loaded() {
    let file = plugin(Api::Ours, "echo");
    let sum = Command::new("sha256sum").arg(&file).output().expect("sha256sum is there");
    let sum = String::from_utf8(sum.stdout).unwrap();
    let digits = |at: usize| u8::from_str_radix(&sum[2 * at..2 * at + 2], 16).unwrap();
    let hash: [u8; 32] = std::array::from_fn(digits);
    load(&file, Some(hash)).expect("the hash is the file's");
    let why = load(&file, Some([0; 32])).unwrap_err().to_string();
    assert!(why.contains(&format!("its SHA-256 is {}, not 0000", &sum[..64])), "{why}");
}
