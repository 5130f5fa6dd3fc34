//! Binds the nginx-rtmp headers to Rust, against the nginx that nginx-sys was configured for.
//!
//! `NGINX_RTMP_SOURCE_DIR` names nginx-rtmp's source, of the version that the server will load.

use std::env;
use std::path::{Path, PathBuf};
use std::process::exit;

const HEADER: &str = "src/ffi/rtmp.h";

fn main() {
    println!("cargo::rerun-if-env-changed=NGINX_RTMP_SOURCE_DIR");
    println!("cargo::rerun-if-changed={HEADER}");
    if let Err(message) = nginx_cfgs().and_then(|()| bind_nginx_rtmp()) {
        println!("cargo::error={message}");
        exit(1);
    }
}

/// Passes nginx's build features on as `cfg(ngx_feature = "…")`, as the ngx crate does.
fn nginx_cfgs() -> Result<(), String> {
    println!(
        "cargo::rustc-check-cfg=cfg(ngx_feature, values({}))",
        variable("DEP_NGINX_FEATURES_CHECK")?
    );
    for feature in variable("DEP_NGINX_FEATURES")?.split(',') {
        println!("cargo::rustc-cfg=ngx_feature=\"{}\"", feature.trim());
    }
    println!("cargo::rustc-env=STAGEDOOR_NGINX_VERSION={}", variable("DEP_NGINX_VERSION")?);
    Ok(())
}

fn bind_nginx_rtmp() -> Result<(), String> {
    let source = PathBuf::from(variable("NGINX_RTMP_SOURCE_DIR").map_err(|_| {
        "NGINX_RTMP_SOURCE_DIR is not set; expected the source directory of nginx-rtmp \
         (\"make build\" fetches it)"
    })?);
    let version = source.join("ngx_rtmp_version.h");
    if !version.is_file() {
        return Err(format!(
            "NGINX_RTMP_SOURCE_DIR is {}, which has no ngx_rtmp_version.h; expected the source \
             directory of nginx-rtmp",
            source.display()
        ));
    }
    println!("cargo::rerun-if-changed={}", version.display());
    println!("cargo::rustc-env=STAGEDOOR_NGINX_RTMP_VERSION={}", release(&source));

    let out = PathBuf::from(variable("OUT_DIR")?);
    let inner = inner_declarations(&source, &out)?;

    let includes = variable("DEP_NGINX_INCLUDE")?;
    let flags = nginx_defines();
    let bindings = bindgen::Builder::default()
        .header(HEADER)
        .header(inner.to_string_lossy())
        .clang_args(env::split_paths(&includes).map(|path| include(&path)))
        .clang_arg(include(&source))
        .clang_args(flags.split_whitespace())
        .allowlist_file(format!("{}/.*", regex_escaped(&source.to_string_lossy())))
        .allowlist_item("STAGEDOOR_.*|AES_KEY|aes_key_st")
        .allowlist_file(regex_escaped(&inner.to_string_lossy()))
        .allowlist_recursively(false)
        .raw_line("use nginx_sys::*;")
        .generate_cstr(true)
        .use_core()
        .generate()
        .map_err(|error| format!("nginx-rtmp's headers cannot be bound: {error}"))?;
    let out = out.join("rtmp.rs");
    bindings.write_to_file(&out).map_err(|error| format!("{}: {error}", out.display()))
}

/// What no header declares: types that a module of nginx-rtmp keeps to itself, in the order in which the
/// later ones need the former, and macros that they need.
const INNER: [(&str, &[&str], &[&str]); 5] = [
    ("ngx_rtmp_relay_module.c", &[], &["} ngx_rtmp_relay_app_conf_t"]),
    ("ngx_rtmp_auto_push_module.c", &[], &["struct ngx_rtmp_auto_push_ctx_s"]),
    (
        "ngx_rtmp_netcall_module.c",
        &[],
        &["} ngx_rtmp_netcall_session_t", "} ngx_rtmp_netcall_ctx_t"],
    ),
    (
        "hls/ngx_rtmp_hls_module.c",
        &[],
        &["} ngx_rtmp_hls_frag_t", "} ngx_rtmp_hls_variant_t", "} ngx_rtmp_hls_ctx_t"],
    ),
    (
        "dash/ngx_rtmp_dash_module.c",
        &["NGX_RTMP_DASH_MAX_SAMPLES", "NGX_RTMP_DASH_DIR_ACCESS"],
        &["} ngx_rtmp_dash_frag_t", "} ngx_rtmp_dash_track_t", "} ngx_rtmp_dash_ctx_t"],
    ),
];

/// A header with [`INNER`], taken out of the source.
fn inner_declarations(source: &Path, out: &Path) -> Result<PathBuf, String> {
    let mut header =
        String::from("#include \"hls/ngx_rtmp_mpegts.h\"\n#include \"dash/ngx_rtmp_mp4.h\"\n");
    for (module, macros, types) in INNER {
        let path = source.join(module);
        println!("cargo::rerun-if-changed={}", path.display());
        let text = std::fs::read_to_string(&path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let missing = |name: &str| {
            let name = name.trim_start_matches("} ");
            format!("{} does not declare {name} as nginx-rtmp 1.2 does", path.display())
        };
        for name in macros {
            let line = text.lines().find(|line| line.starts_with(&format!("#define {name} ")));
            header += line.ok_or_else(|| missing(name))?;
            header.push('\n');
        }
        for name in types {
            header += structure(&text, name).ok_or_else(|| missing(name))?;
            header.push('\n');
        }
    }
    let path = out.join("ngx_rtmp_inner.h");
    std::fs::write(&path, header).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

/// A structure's declaration, told by how it begins or, if it has a type's name only, by how it ends.
fn structure<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    if name.starts_with('}') {
        let ending = format!("{name};");
        let end = text.find(&ending)? + ending.len();
        return Some(&text[text[..end].rfind("typedef struct")?..end]);
    }
    let text = &text[text.find(&format!("{name} {{"))?..];
    Some(&text[..text.find("};")? + 2])
}

/// The release. ngx_rtmp_version.h of 1.2.2 says 1.1.4, so that is what the source was fetched as, or
/// what the directory's name tells.
fn release(source: &Path) -> String {
    if let Ok(version) = std::fs::read_to_string(source.join("debian-version")) {
        return format!("nginx-rtmp {}", version.trim());
    }
    let path = source.canonicalize().unwrap_or_else(|_| source.to_owned());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match name.rsplit_once('-') {
        Some((_, release)) if release.starts_with(|c: char| c.is_ascii_digit()) => {
            format!("nginx-rtmp {release}")
        }
        _ => "nginx-rtmp".to_owned(),
    }
}

/// The `-D` flags nginx was configured with; none is usual. nginx-sys 0.5 hands them on as
/// `metadata=cflags=…`, which cargo turns into `DEP_NGINX_METADATA`.
fn nginx_defines() -> String {
    variable("DEP_NGINX_CFLAGS")
        .or_else(|_| variable("DEP_NGINX_METADATA"))
        .map(|flags| flags.trim_start_matches("cflags=").to_owned())
        .unwrap_or_default()
}

fn include(path: &Path) -> String {
    format!("-I{}", path.display())
}

fn regex_escaped(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            let quote = !(c.is_alphanumeric() || c == '/' || c == '_' || c == '-');
            quote.then_some('\\').into_iter().chain([c])
        })
        .collect()
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|_| format!("the environment variable {name} is not set"))
}
