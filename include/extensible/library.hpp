#pragma once

// How is a plugin loaded from a shared library, loaded anew, and closed again? Not a part of extensible.hpp, as it needs the
// operating system's loader: link with -ldl where the C library is without it. The plugin's own file includes extensible.hpp,
// and defines its entry with EXTENSIBLE_PLUGIN (see plugin.hpp).
//
//     ext::library vault{registry, "plugins/libvault.so"};  // its hooks run from here on
//     vault.reload();                                       // the file is another one: over to its hooks in one step
//     const auto loaded = ext::load_folder(registry, "plugins", {.block = {"libold*"}});
//     for (const ext::load_report& report : loaded)
//         if (!report.library) std::cerr << report.reason << '\n';
//
// At their end `vault` and `loaded` remove the hooks, wait for calls that are inside of them, and close the libraries.

#include <extensible/detail/config.hpp>
#include <extensible/detail/loader.hpp>
#include <extensible/detail/stamp.hpp>
#include <extensible/error.hpp>
#include <extensible/plugin.hpp>
#include <extensible/registry.hpp>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace ext::inline EXTENSIBLE_ABI {

namespace detail {
struct loaded_library;
}

/// The plugin that a library gets, and defaults for its hooks, which each of them may override.
struct library_options {
    std::string name{};     ///< the plugin's; empty: the file's name without its extension
    bool isolate = false;   ///< as hook_options::isolate
    bool reentrant = true;  ///< as hook_options::reentrant
};

/// A plugin in a shared library, which is loaded as long as this lives. Owns the open library, and the ext::plugin that has its
/// hooks. Movable.
///
/// One thread at a time may use it. Others may call functions, and use registry, plugin and hooks, all the while. It is to be
/// destroyed outside of calls that run its hooks. Inside of one its hooks are removed as well, but the library stays in memory,
/// because that call has to return through its code.
class [[nodiscard("the library is closed where its ext::library is destroyed: give it a name")]] library {
public:
    /// Opens the file, which is looked for at this path alone. Checks that it was compiled as this module was, calls its entry
    /// (see EXTENSIBLE_PLUGIN), and then enables all hooks that the entry has registered, in one step.
    ///
    /// Throws incompatible_module, before the entry is called; or error, if the file cannot be opened, if it has no entry, or
    /// if the entry throws, whatever it throws, with the same text. The text begins with the file. None of its hooks has run
    /// then, and the library is closed. (The system constructs a library's static objects when it opens it, before all checks.)
    [[nodiscard("the library is closed where its ext::library is destroyed: give it a name")]]
    EXTENSIBLE_HIDDEN library(registry& home, const std::filesystem::path& file, const library_options& options = {});

    /// For functions of the default registry.
    [[nodiscard("the library is closed where its ext::library is destroyed: give it a name")]]
    EXTENSIBLE_HIDDEN explicit library(const std::filesystem::path& file, const library_options& options = {});

    EXTENSIBLE_HIDDEN library(library&&) noexcept;
    EXTENSIBLE_HIDDEN library& operator=(library&&) noexcept;

    /// Unloads the plugin, which waits as long as it takes, and closes the library.
    EXTENSIBLE_HIDDEN ~library();

    /// Loads the file anew, which somebody has replaced. The new library is opened beside the old one, and its hooks take the
    /// place of the old ones in one step: no call that begins at any time runs hooks of both, or of neither. They may have the
    /// same ids. If the plugin is disabled they are too. Returns when the old library is closed, as by the destructor. Where
    /// the host has added hooks to plugin(), those go with it.
    ///
    /// Throws as the constructor does, and then the old library stays as it was. What is opened is a copy beside the file, or
    /// with the temporary files, which is removed as soon as the system allows it. Replace a file by renaming another to it:
    /// one that is written to while it is open changes the code that is running. Windows lets nobody replace one that is open:
    /// rename that first.
    EXTENSIBLE_HIDDEN void reload();

    /// Its hooks, to be disabled and enabled together. The host may add some, which go when they do. The reference is valid
    /// until the library is loaded anew or closed, also where this is moved. Throws error if this was moved from.
    EXTENSIBLE_HIDDEN ext::plugin& plugin() const;

    /// The file's absolute path.
    const std::filesystem::path& file() const noexcept { return file_; }

private:
    EXTENSIBLE_HIDDEN detail::loaded_library& checked() const;

    std::filesystem::path file_;
    std::unique_ptr<detail::loaded_library> loaded_;  // null if it was moved from
};

/// Which files of a folder are loaded, and the defaults for their hooks. A file is meant by its name, with or without its
/// extension, or by a pattern, in which `*` is any run of characters.
struct folder_options {
    std::vector<std::string> allow{};  ///< only these; empty: all
    std::vector<std::string> block{};  ///< none of these, even if they are allowed
    bool isolate = false;              ///< as hook_options::isolate
    bool reentrant = true;             ///< as hook_options::reentrant
};

/// What came of one file, and the library, if it was loaded.
struct load_report {
    std::filesystem::path file;
    std::optional<ext::library> library{};  ///< empty where it was not loaded
    std::string reason{};                   ///< the text of the error then; else empty
};

/// Loads the plugins in the folder, in the order of their file names, and reports of each; `reports[i].library` owns what was
/// loaded. One that is broken does not keep the others from being loaded. Plugins are files with the extension .so, on macOS
/// (untested) .dylib as well, on Windows .dll; folders inside of the folder are not looked at. A name in `allow` that no file has is
/// reported too, at the end. Throws error if the folder cannot be read, or a name in the options is empty. Without exceptions the
/// first library that is broken goes to the handler of on_error(), which ends the program.
[[nodiscard("the libraries are closed when the reports are destroyed")]]
EXTENSIBLE_HIDDEN std::vector<load_report> load_folder(registry& home, const std::filesystem::path& folder,
                                                       const folder_options& options = {});

/// For functions of the default registry.
[[nodiscard("the libraries are closed when the reports are destroyed")]]
EXTENSIBLE_HIDDEN std::vector<load_report> load_folder(const std::filesystem::path& folder, const folder_options& options = {});

// ---------------------------------------------------------------------------------------------------------------------

namespace detail {

/// An open library and its plugin, at one address from before the entry is called until the library is closed.
struct EXTENSIBLE_HIDDEN loaded_library {
    shared_library code;
    const ref<plugin_record> hooks;  // also where somebody moves from the plugin
    ext::plugin plugin;

    loaded_library(shared_library opened, const ref<plugin_record>& record)
        : code(std::move(opened)), hooks(record), plugin(access::make<ext::plugin>(record)) {}
    loaded_library(const loaded_library&) = delete;
    loaded_library& operator=(const loaded_library&) = delete;
    ~loaded_library() {
        remove_and_wait(hooks);
        // This thread is inside of one of the hooks, or another that this one would have waited for in a circle.
        if (hooks->registry->domain->is_alive(*hooks)) code.keep_open();
    }
};

EXTENSIBLE_HIDDEN inline std::filesystem::path absolute_path(const std::filesystem::path& file) {
    std::error_code problem;
    const std::filesystem::path path = std::filesystem::absolute(file, problem);
    if (problem) raise<error>(join({"'", text_of(file), "': there is no such path: ", problem.message()}));
    return path;
}

/// Calls the entry, which may throw what the library defines: of that nothing is left when this throws.
EXTENSIBLE_HIDDEN inline void call_entry(void (*entry)(ext::plugin&), loaded_library& loaded, const std::string& name) {
    std::string text;
    EXTENSIBLE_TRY {
        entry(loaded.plugin);
        return;
    } EXTENSIBLE_CATCH(...) {
        text = text_of(std::current_exception());
    }
    raise<error>(join({name, ": its entry threw: ", text}));
}

/// Has an open library register its hooks, which are not enabled yet.
EXTENSIBLE_HIDDEN inline std::unique_ptr<loaded_library> load(shared_library opened, const ref<plugin_record>& hooks,
                                                              const std::string& name) {
    auto loaded = std::make_unique<loaded_library>(std::move(opened), hooks);
    const auto* const stamp = loaded->code.find<const detail::stamp>("extensible_plugin_stamp");
    auto* const entry = loaded->code.find<void(ext::plugin&)>("extensible_plugin");
    if (!stamp || !entry)
        raise<error>(join({name, ": it exports no ", entry ? "extensible_plugin_stamp beside its " : "", "extensible_plugin",
                           "; define its entry with EXTENSIBLE_PLUGIN(self) { ... }, which exports both"}));
    check_stamp(*stamp, name, "the library");
    set_enabled(hooks, false);
    call_entry(entry, *loaded, name);
    return loaded;
}

/// Whether the file is meant by one of the names.
EXTENSIBLE_HIDDEN inline bool is_among(const std::vector<std::string>& names, const std::filesystem::path& file) {
    return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
        return matches(name, text_of(file.filename())) || matches(name, text_of(file.stem()));
    });
}

EXTENSIBLE_HIDDEN inline std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> files;
    std::error_code problem;
    for (std::filesystem::directory_iterator at(folder, problem), end; !problem && at != end; at.increment(problem)) {
        std::error_code unknown;  // a link to nowhere is reported as a library that cannot be opened
        if (is_library_name(at->path()) && !at->is_directory(unknown)) files.push_back(at->path());
    }
    if (problem) raise<error>(join({text_of(folder), ": it cannot be read as a folder of plugins: ", problem.message()}));
    std::sort(files.begin(), files.end());
    return files;
}

}  // namespace detail

inline library::library(registry& home, const std::filesystem::path& file, const library_options& options)
    : file_(detail::absolute_path(file)) {
    const detail::ref hooks(new detail::plugin_record(detail::access::record(home),
                                                      options.name.empty() ? detail::text_of(file.stem()) : options.name,
                                                      options.isolate, options.reentrant));
    const std::string name = detail::text_of(file_);
    loaded_ = detail::load(detail::shared_library(file_, name), hooks, name);
    detail::set_enabled(hooks, true);
}

inline library::library(const std::filesystem::path& file, const library_options& options)
    : library(default_registry(), file, options) {}
inline library::library(library&&) noexcept = default;
inline library& library::operator=(library&&) noexcept = default;
inline library::~library() = default;

inline detail::loaded_library& library::checked() const {
    if (!loaded_) detail::raise<error>("ext::library: this library was moved from, it has no plugin");
    return *loaded_;
}

inline ext::plugin& library::plugin() const { return checked().plugin; }

inline void library::reload() {
    detail::plugin_record& old = *checked().hooks;
    const detail::ref hooks(new detail::plugin_record(*old.registry, old.name, old.isolate, old.reentrant));
    hooks->predecessor = detail::ref(&old);
    const std::string name = detail::text_of(file_);
    std::unique_ptr<detail::loaded_library> loaded = detail::load(detail::shared_library::open_copy(file_, name), hooks, name);
    detail::locked_registry(*old.registry).hand_over(old, *hooks);
    std::swap(loaded_, loaded);  // the old one is closed at the end of this
}

inline std::vector<load_report> load_folder(const std::filesystem::path& folder, const folder_options& options) {
    return load_folder(default_registry(), folder, options);
}

inline std::vector<load_report> load_folder(registry& home, const std::filesystem::path& folder,
                                            const folder_options& options) {
    for (const auto* names : {&options.allow, &options.block})
        if (std::find(names->begin(), names->end(), "") != names->end())
            detail::raise<error>(detail::join({detail::text_of(folder), ": a name that is allowed or blocked must not be empty"}));
    const std::vector<std::filesystem::path> files = detail::files_in(folder);
    std::vector<load_report> reports;
    for (const std::filesystem::path& file : files) {
        if (!options.allow.empty() && !detail::is_among(options.allow, file)) continue;
        if (detail::is_among(options.block, file)) continue;
        load_report& report = reports.emplace_back(load_report{file});
        EXTENSIBLE_TRY {
            report.library.emplace(home, file, library_options{.isolate = options.isolate, .reentrant = options.reentrant});
        } EXTENSIBLE_CATCH(const error&) {
            report.reason = detail::text_of(std::current_exception());
        }
    }
    for (const std::string& name : options.allow) {
        const auto is_it = [&](const std::filesystem::path& file) { return detail::is_among({name}, file); };
        if (!detail::is_pattern(name) && std::none_of(files.begin(), files.end(), is_it))
            reports.push_back({folder / name, {}, detail::join({detail::text_of(folder), ": it has no plugin '", name,
                                                                "', which is allowed"})});
    }
    return reports;
}

}  // namespace ext::inline EXTENSIBLE_ABI
