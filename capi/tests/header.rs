//! The committed header is what cbindgen makes of the source, and the functions of `double` are those of `float` but for
//! names and types. `NABLAS_UPDATE=1 cargo test -p nablas-capi --test header` writes `include/nablas.h` and `src/f64.rs`
//! anew. Where the old `f64.rs` no longer compiles, leave only its first line: the crate does without the rest.

use std::{env, fs, path::Path};

/// Sections as they come in the header.
const SOURCES: [&str; 10] =
    ["status", "options", "config", "team", "network", "plan", "optim", "process", "f32", "f64"];

/// The first line of `f64.rs`.
const GENERATED: &str = "//! The functions of `double`. Generated from `f32.rs`, do not edit: \
    `NABLAS_UPDATE=1 cargo test -p nablas-capi --test header`.";

/// `f64.rs`, from `f32.rs`, whose first line is of `float` alone.
fn double(float: &str) -> String {
    let (_, body) = float.split_once('\n').unwrap();
    let body = body.replace("f32", "f64").replace("nablas_s", "nablas_d");
    // The one name with this letter that is of both.
    let body = body.replace("nablas_dtatus", "nablas_status");
    format!("{GENERATED}\n{body}")
}

/// Fails if a committed file is not what was made; makes it so first, if asked to.
fn check(path: &Path, made: &str) {
    let committed = || fs::read_to_string(path).unwrap_or_default();
    if env::var_os("NABLAS_UPDATE").is_some() && committed() != made {
        fs::write(path, made).unwrap();
    }
    assert!(committed() == made, "{} is not what its source makes: NABLAS_UPDATE=1", path.display());
}

/// One test: the header is made of `f64.rs` too.
#[test]
fn generated_files_are_what_their_sources_make() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    check(&root.join("src/f64.rs"), &double(&fs::read_to_string(root.join("src/f32.rs")).unwrap()));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let builder = SOURCES.iter().fold(cbindgen::Builder::new().with_config(config), |builder, name| {
        builder.with_src(root.join(format!("src/{name}.rs")))
    });
    let mut made = Vec::new();
    builder.generate().unwrap().write(&mut made);
    // The heading of the section is rustdoc's.
    check(&root.join("include/nablas.h"), &String::from_utf8(made).unwrap().replace(" * # Safety\n", ""));
}

/// Every place that says the version says the same.
#[test]
fn versions_agree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    let header = read("include/nablas.h");
    assert!(header.contains(&format!("#define NABLAS_VERSION \"{version}\"")));
    for (name, part) in ["MAJOR", "MINOR", "PATCH"].into_iter().zip(version.split('.')) {
        assert!(header.contains(&format!("#define NABLAS_VERSION_{name} {part}\n")), "{name}");
    }
    assert!(
        read("cmake/nablas-config-version.cmake").contains(&format!("set(PACKAGE_VERSION \"{version}\")"))
    );
}
