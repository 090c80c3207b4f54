#pragma once

// ext::library: loads a plugin from a shared library, reloads it, and closes it again.
// ext::load_folder: loads all plugins of a folder. Not part of extensible.hpp, because it needs the
// operating system's loader: link with -ldl if the C library does not contain it. The plugin's own
// source file includes extensible.hpp, and defines its entry point with EXTENSIBLE_PLUGIN (see
// plugin.hpp).

#include <extensible/detail/platform/compiler.hpp>

#if EXTENSIBLE_QUIET
#pragma GCC system_header
#endif

#include <extensible/detail/loading/shared_library.hpp>
#include <extensible/detail/records/hook_record.hpp>
#include <extensible/detail/records/ref.hpp>
#include <extensible/detail/registry/locked_registry.hpp>
#include <extensible/detail/registry/pattern.hpp>
#include <extensible/detail/stamp.hpp>
#include <extensible/detail/types/private_access.hpp>
#include <extensible/detail/types/text.hpp>
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

namespace ext { inline namespace EXTENSIBLE_ABI {

namespace detail {
struct loaded_library;
struct library_slot;
}

/// The name of a plugin that a library defines, and defaults for its hooks. Each hook may override
/// them.
struct library_options {
    /// The name of the plugin. If empty, it is the name of the file without its extension.
    std::string name{};

    /// If true, what the hooks throw is reported, and the call proceeds. See hook_options::isolate.
    bool isolate = false;

    /// If false, a hook is skipped in calls that it makes itself. See hook_options::reentrant.
    bool reentrant = true;
};

/// A plugin in a shared library. It remains loaded as long as this object lives. The object owns
/// the open library and the ext::plugin that owns its hooks. Movable, not copyable.
///
///     ext::library vault{registry, "plugins/libvault.so"};  // its hooks run from here on
///     vault.plugin().disable();
///     vault.reload();  // switches to a new version of the file
///
/// The destructor removes the hooks, waits for calls that are running them, and closes the library.
/// (A library from load_folder() is closed after those that were loaded later.)
///
/// Only one thread at a time may use this object. Meanwhile other threads may call functions, and
/// use the registry, the plugin and the hooks. Destroy it outside of calls that run its hooks.
/// Inside such a call its hooks are removed as well, but the library stays in memory, because the
/// call has to return through its code.
class [[nodiscard("the library is closed where its ext::library is destroyed: give it a name")]] library {
public:
    /// Loads the plugin in `file`, for functions of the registry `home`. Opens exactly this file;
    /// library search paths are not used. Checks that it was compiled as this module was, and calls
    /// its entry point (see EXTENSIBLE_PLUGIN). Then enables all hooks that the entry point has
    /// registered, in one step.
    ///
    /// Throws incompatible_module, before the entry point is called, if the plugin was compiled in
    /// an incompatible way. Throws error if the file cannot be opened or has no entry point, or if
    /// the entry point throws anything; the text then contains the text of that exception. All
    /// texts begin with the path of the file. If the constructor throws, no hook has run, and the
    /// library is closed.
    ///
    /// Only regular files are opened, and ELF files only if they are complete. The system constructs a
    /// library's static objects when it opens the library. If one of these constructors throws, the
    /// program ends.
    [[nodiscard("the library is closed where its ext::library is destroyed: give it a name")]]
    EXTENSIBLE_HIDDEN library(registry& home, const std::filesystem::path& file, const library_options& options = {});

    /// Loads the plugin in `file`, for functions of the default registry. See the other
    /// constructor.
    [[nodiscard("the library is closed where its ext::library is destroyed: give it a name")]]
    EXTENSIBLE_HIDDEN explicit library(const std::filesystem::path& file, const library_options& options = {});

    /// Takes over the library of `other`, which then owns none.
    EXTENSIBLE_HIDDEN library(library&&) noexcept;

    /// Unloads and closes this library, as the destructor does, then takes over the library of
    /// `other`.
    EXTENSIBLE_HIDDEN library& operator=(library&&) noexcept;

    /// Unloads the plugin, waiting as long as necessary, and closes the library.
    EXTENSIBLE_HIDDEN ~library();

    /// Loads the file again, after it has been replaced by a new version. The new library is opened
    /// next to the old one, and its hooks take the place of the old ones in one step: each call
    /// runs the hooks of exactly one version. The old and the new hooks may have the same ids. If
    /// the plugin is disabled, it remains disabled. Returns after the old library is closed.
    /// Hooks that the host has added to plugin() are removed with the old library.
    ///
    /// Throws what the constructor throws; then the old library remains as it was.
    ///
    /// The function opens a copy of the file, next to it or among the temporary files. The copy is
    /// removed as soon as the system allows it. To replace a file, rename another file to its name:
    /// writing to a file that is open changes the code that is running. Windows does not let you
    /// replace a file that is open: rename that file first.
    EXTENSIBLE_HIDDEN void reload();

    /// Returns the plugin that owns this library's hooks, to disable and enable them together.
    /// Hooks that the host adds to it are removed together with them. The reference is valid until
    /// the library is reloaded or closed, even if this object is moved. Throws error if this object
    /// was moved from.
    EXTENSIBLE_HIDDEN ext::plugin& plugin() const;

    /// Returns the absolute path of the file.
    const std::filesystem::path& file() const noexcept { return file_; }

private:
    friend detail::private_access;
    EXTENSIBLE_HIDDEN detail::loaded_library& checked() const;

    std::filesystem::path file_;
    detail::ref<detail::library_slot> slot_;  // null if this was moved from
};

/// Which files of a folder are loaded, and defaults for their hooks. A file is named with or
/// without its extension, or by a pattern, in which `*` stands for any run of characters.
struct folder_options {
    /// If not empty, only these files are loaded.
    std::vector<std::string> allow{};

    /// These files are not loaded, even if they are allowed.
    std::vector<std::string> block{};

    /// If true, what the hooks throw is reported, and the call proceeds. See hook_options::isolate.
    bool isolate = false;

    /// If false, a hook is skipped in calls that it makes itself. See hook_options::reentrant.
    bool reentrant = true;
};

/// What load_folder() returns for one file: the library, or the reason why it was not loaded.
struct load_report {
    /// The path of the file.
    std::filesystem::path file;

    /// The library, or empty if it was not loaded.
    std::optional<ext::library> library{};

    /// The text of the error if the library was not loaded. Otherwise empty.
    std::string reason{};
};

/// Loads the plugins in a folder, in the order of their file names, for functions of the registry
/// `home`. Returns a report for each. The reports own the libraries: keep them as long as the hooks
/// are to run. The library that was loaded last is closed first. If you destroy only some reports,
/// the hooks of their libraries are removed at once, and each library is closed as soon as all that
/// were loaded after it are closed.
///
///     const auto plugins = ext::load_folder(registry, "plugins", {.block = {"libold*"}});
///     for (const ext::load_report& report : plugins)
///         if (!report.library) std::cerr << report.reason << '\n';
///
/// A broken plugin does not prevent the others from being loaded. Plugins are files with the
/// extension .so, on macOS (untested) also .dylib, on Windows .dll. Folders inside the folder are
/// ignored. If a file has two names, because one is a link, the second name is reported, and the
/// file is loaded once. A name in `allow` that no file has is reported too, at the end.
///
/// Throws error if the folder cannot be read, or if a name in the options is empty. Without
/// exceptions, the handler of on_error() receives the error of the first broken library, which ends
/// the program.
[[nodiscard("the libraries are closed when the reports are destroyed")]]
EXTENSIBLE_HIDDEN std::vector<load_report> load_folder(registry& home, const std::filesystem::path& folder,
                                                       const folder_options& options = {});

/// Loads the plugins in a folder, in the order of their file names, for functions of the default
/// registry. See the other overload.
[[nodiscard("the libraries are closed when the reports are destroyed")]]
EXTENSIBLE_HIDDEN std::vector<load_report> load_folder(const std::filesystem::path& folder,
                                                       const folder_options& options = {});

// -------------------------------------------------------------------------------------------------

namespace detail {

/// Holds the version of a library that is loaded. The slots of a folder's libraries form a chain, so
/// that the libraries are closed in reverse order, in whichever order a vector destroys its elements.
struct library_slot : reference_counted {
    ref<library_slot> earlier{};               // of the library that load_folder() loaded before this one, or null
    std::unique_ptr<loaded_library> loaded{};  // never null. Declared last, so it is closed before `earlier` is.
};

/// An open library and its plugin. Neither moves in memory from before the entry point is called
/// until the library is closed.
struct EXTENSIBLE_HIDDEN loaded_library {
    shared_library code;
    const ref<plugin_record> hooks;  // remains valid if other code moves from `plugin`
    ext::plugin plugin;

    loaded_library(shared_library opened, const ref<plugin_record>& record)
        : code(std::move(opened)), hooks(record), plugin(private_access::make<ext::plugin>(record)) {}
    loaded_library(const loaded_library&) = delete;
    loaded_library& operator=(const loaded_library&) = delete;
    ~loaded_library() {
        remove_and_wait(hooks);
        // If a hook is still alive, this thread is inside one of the hooks, or another thread is,
        // for which the removal did not wait because the two would have waited for each other.
        if (hooks->registry->domain->is_alive(*hooks)) code.keep_open();
    }
};

EXTENSIBLE_HIDDEN inline std::filesystem::path absolute_path(const std::filesystem::path& file) {
    std::error_code problem;
    const std::filesystem::path path = std::filesystem::absolute(file, problem);
    if (problem) raise<error>(join({"'", text_of(file), "': there is no such path: ", problem.message()}));
    return path;
}

/// Calls the entry point. If it throws a type that the library defines, that exception is destroyed
/// before this function throws its own.
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

/// Lets an open library register its hooks. They are disabled until the caller enables them.
EXTENSIBLE_HIDDEN inline std::unique_ptr<loaded_library> load(shared_library opened, const ref<plugin_record>& hooks,
                                                              const std::string& name) {
    auto loaded = std::make_unique<loaded_library>(std::move(opened), hooks);
    const auto* const stamp = loaded->code.find<const detail::stamp>("extensible_plugin_stamp");
    auto* const entry = loaded->code.find<void(ext::plugin&)>("extensible_plugin");
    if (!stamp || !entry)
        raise<error>(join({name, ": it does not export ", entry ? "extensible_plugin_stamp" : "extensible_plugin",
                           "; define its entry with EXTENSIBLE_PLUGIN(self) { ... }, which exports both"}));
    check_stamp(*stamp, name, "the library", "the module that loads it");
    set_enabled(hooks, false);
    call_entry(entry, *loaded, name);
    return loaded;
}

/// Returns true if one of the names or patterns denotes the file.
EXTENSIBLE_HIDDEN inline bool is_among(const std::vector<std::string>& names, const std::filesystem::path& file) {
    return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
        return matches(name, text_of(file.filename())) || matches(name, text_of(file.stem()));
    });
}

EXTENSIBLE_HIDDEN inline std::vector<std::filesystem::path> files_in(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> files;
    std::error_code problem;
    for (std::filesystem::directory_iterator at(folder, problem), end; !problem && at != end; at.increment(problem)) {
        std::error_code unknown;  // a dangling link is reported as a library that cannot be opened
        if (is_library_name(at->path()) && !at->is_directory(unknown)) files.push_back(at->path());
    }
    if (problem)
        raise<error>(join({text_of(folder), ": it cannot be read as a folder of plugins: ", problem.message()}));
    std::sort(files.begin(), files.end());
    return files;
}

/// Loads the file of the last report, unless an earlier report is for the same file.
EXTENSIBLE_HIDDEN inline void load_once(std::vector<load_report>& reports, registry& home,
                                        const folder_options& options) {
    load_report& report = reports.back();
    for (const load_report& other : reports) {
        std::error_code unknown;
        if (&other == &report || !std::filesystem::equivalent(other.file, report.file, unknown)) continue;
        report.reason = join({text_of(report.file), ": it is another name of the file ", text_of(other.file),
                              ", and each file is loaded once"});
        return;
    }
    EXTENSIBLE_TRY {
        report.library.emplace(home, report.file,
                               library_options{.isolate = options.isolate, .reentrant = options.reentrant});
    } EXTENSIBLE_CATCH(const error&) {
        report.reason = text_of(std::current_exception());
    }
}

}  // namespace detail

inline library::library(registry& home, const std::filesystem::path& file, const library_options& options)
    : file_(detail::absolute_path(file)) {
    const detail::ref hooks(new detail::plugin_record(
        detail::private_access::record(home), options.name.empty() ? detail::text_of(file.stem()) : options.name,
        options.isolate, options.reentrant));
    const std::string name = detail::text_of(file_);
    slot_ = detail::ref(new detail::library_slot);
    slot_->loaded = detail::load(detail::shared_library(file_, name), hooks, name);
    detail::set_enabled(hooks, true);
}

inline library::library(const std::filesystem::path& file, const library_options& options)
    : library(default_registry(), file, options) {}
inline library::library(library&&) noexcept = default;

inline library& library::operator=(library&& other) noexcept {
    library old(std::move(other));
    std::swap(file_, old.file_);
    std::swap(slot_, old.slot_);
    return *this;  // and `old` is destroyed
}

inline library::~library() {
    if (slot_) detail::remove_and_wait(slot_->loaded->hooks);  // the slots of later libraries may keep this one open
}

inline detail::loaded_library& library::checked() const {
    if (!slot_) detail::raise<error>("ext::library: this library has been moved from, so it has no plugin");
    return *slot_->loaded;
}

inline ext::plugin& library::plugin() const { return checked().plugin; }

inline void library::reload() {
    detail::plugin_record& old = *checked().hooks;
    const detail::ref hooks(new detail::plugin_record(*old.registry, old.name, old.isolate, old.reentrant));
    hooks->predecessor = detail::ref(&old);
    const std::string name = detail::text_of(file_);
    std::unique_ptr<detail::loaded_library> loaded =
        detail::load(detail::shared_library::open_copy(file_, name), hooks, name);
    detail::locked_registry(*old.registry).replace_plugin(old, *hooks);
    std::swap(slot_->loaded, loaded);  // the old library is closed at the end of this function
}

inline std::vector<load_report> load_folder(const std::filesystem::path& folder, const folder_options& options) {
    return load_folder(default_registry(), folder, options);
}

inline std::vector<load_report> load_folder(registry& home, const std::filesystem::path& folder,
                                            const folder_options& options) {
    for (const auto* names : {&options.allow, &options.block})
        if (std::find(names->begin(), names->end(), "") != names->end())
            detail::raise<error>(
                detail::join({detail::text_of(folder), ": a name that is allowed or blocked must not be empty"}));
    const std::vector<std::filesystem::path> files = detail::files_in(folder);
    std::vector<load_report> reports;
    detail::ref<detail::library_slot> last;
    for (const std::filesystem::path& file : files) {
        if (!options.allow.empty() && !detail::is_among(options.allow, file)) continue;
        if (detail::is_among(options.block, file)) continue;
        std::optional<library>& loaded = reports.emplace_back(load_report{file}).library;
        detail::load_once(reports, home, options);
        if (!loaded) continue;
        const detail::ref slot = detail::private_access::slot(*loaded);
        slot->earlier = std::exchange(last, slot);
    }
    for (const std::string& name : options.allow) {
        const auto is_it = [&](const std::filesystem::path& file) { return detail::is_among({name}, file); };
        if (!detail::is_pattern(name) && std::none_of(files.begin(), files.end(), is_it))
            reports.push_back({folder / name, {}, detail::join({detail::text_of(folder), ": it has no plugin '", name,
                                                                "', which is allowed"})});
    }
    return reports;
}

}}  // namespace ext
