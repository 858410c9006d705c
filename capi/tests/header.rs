//! The committed header is what cbindgen makes of the source. `NABLAS_UPDATE=1 cargo test -p nablas-capi --test header`
//! writes it anew.

use std::{env, fs, path::Path};

/// Sections as they come in the header.
const SOURCES: [&str; 10] =
    ["status", "options", "config", "team", "network", "plan", "optim", "process", "f32", "f64"];

#[test]
fn the_header_is_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).unwrap();
    let builder = SOURCES.iter().fold(cbindgen::Builder::new().with_config(config), |builder, name| {
        builder.with_src(root.join(format!("src/{name}.rs")))
    });
    let mut made = Vec::new();
    builder.generate().unwrap().write(&mut made);
    // The heading of the section is rustdoc's.
    let made = String::from_utf8(made).unwrap().replace(" * # Safety\n", "");
    let path = root.join("include/nablas.h");
    if env::var_os("NABLAS_UPDATE").is_some() {
        fs::write(&path, &made).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == made, "include/nablas.h is not what cbindgen makes: run with NABLAS_UPDATE=1");
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

/// `f64.rs` is `f32.rs` but for names and types.
#[test]
fn float_and_double_are_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let mut expected = read("src/f32.rs").replace("f32", "f64");
    for name in ["dense", "gemm", "activation", "loss", "mlp", "plan", "optimizer", "sgd", "adam", "clip"] {
        expected = expected.replace(&format!("nablas_s{name}"), &format!("nablas_d{name}"));
    }
    // The first line is not code.
    let body = |text: &str| text.split_once('\n').map(|(_, body)| body.to_owned());
    let (expected, got) = (body(&expected), body(&read("src/f64.rs")));
    assert!(expected == got, "src/f64.rs differs from src/f32.rs by more than names and types");
}
