#pragma once

// How does the operating system open a shared library, find a symbol in it, and close it? macOS is
// untested, and Windows is tested only with MinGW and Wine.
//
// What must stay true (tests/library/library.cpp):
// 1. A library is opened at exactly its path. Search paths are only for the libraries that it needs.
// 2. A copy of a file is a different library to the system. It is removed as soon as the system
//    allows it, and if it cannot be made or opened.
// 3. Only regular files are opened. Opening a named pipe would wait for its writer.
// 4. Symbols are looked up in the library itself, and not in the libraries that it needs.
//
// Not here: what a plugin exports, and when its library may be closed: library.hpp. Whether a file
// ends too early: incomplete_file.hpp.

#include <extensible/detail/loading/incomplete_file.hpp>
#include <extensible/detail/platform/compiler.hpp>
#include <extensible/detail/platform/system.hpp>
#include <extensible/detail/platform/windows_api.hpp>
#include <extensible/detail/types/text.hpp>
#include <extensible/error.hpp>

#include <cstddef>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>

#if defined(_WIN32)

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail { namespace windows {

extern "C" {  // see windows_api.hpp
__declspec(dllimport) ::HINSTANCE__* __stdcall LoadLibraryExW(const wchar_t*, void*, unsigned long);
__declspec(dllimport) int __stdcall FreeLibrary(::HINSTANCE__*);
__declspec(dllimport) int __stdcall SetThreadErrorMode(unsigned long, unsigned long*);
__declspec(dllimport) unsigned long __stdcall GetLastError();
}

}}}}  // namespace ext::detail::windows

#else
#include <dlfcn.h>
#endif

namespace ext { inline namespace EXTENSIBLE_ABI { namespace detail {

/// Returns a path as text, in UTF-8 on Windows.
EXTENSIBLE_HIDDEN inline std::string text_of(const std::filesystem::path& path) {
    const auto text = path.u8string();
    return std::string(text.begin(), text.end());
}

/// Returns true if the name of the file is that of a shared library.
EXTENSIBLE_HIDDEN inline bool is_library_name(const std::filesystem::path& file) {
#if defined(_WIN32)
    return file.extension() == ".dll";
#elif defined(__APPLE__)
    return file.extension() == ".dylib" || file.extension() == ".so";
#else
    return file.extension() == ".so";
#endif
}

/// Throws error, with a text that begins with `name`, if the system must not open the file. A file
/// that is missing passes: the system's reason is more exact.
EXTENSIBLE_HIDDEN inline void check_file(const std::filesystem::path& file, const std::string& name) {
    std::error_code unknown;
    const std::filesystem::file_status status = std::filesystem::status(file, unknown);
    if (unknown || !std::filesystem::exists(status)) return;
    if (!std::filesystem::is_regular_file(status))
        raise<error>(join({name, ": it cannot be opened as a shared library: it is not a regular file"}));
    if (is_incomplete(file))
        raise<error>(join({name, ": it is incomplete: the file is shorter than its headers say"}));
}

/// An open shared library. The destructor closes it. Movable.
class EXTENSIBLE_HIDDEN shared_library {
public:
    /// Opens the file at this absolute path. A file that is open already is not read again. Throws
    /// error, with a text that begins with `name`.
    shared_library(const std::filesystem::path& path, const std::string& name) {
        check_file(path, name);
        handle_ = open(path, name);
    }

    /// Opens a copy of the file, which to the system is a different library, even if the file itself
    /// is open. Throws what the constructor throws, or error if the file cannot be copied.
    static shared_library open_copy(const std::filesystem::path& path, const std::string& name);

    shared_library(shared_library&& other) noexcept
        : handle_(std::exchange(other.handle_, nullptr)), copy_(std::exchange(other.copy_, {})) {}
    shared_library& operator=(shared_library&&) = delete;
    ~shared_library();

    /// Returns the function or object that the library itself exports under this name, or null.
    template <class T>
    T* find(const char* name) const noexcept {
        return reinterpret_cast<T*>(address_of(name));
    }

    /// The library will never be closed.
    void keep_open() noexcept { handle_ = nullptr; }

private:
    static void* open(const std::filesystem::path& path, const std::string& name);
    void* address_of(const char* name) const noexcept;
    void close() noexcept;
    bool remove_copy() noexcept;

    void* handle_;  // null if this was moved from, or the library must not be closed
    std::filesystem::path copy_{};  // this file is removed after the library is closed; empty if there is none
};

inline shared_library::~shared_library() {
    if (handle_) close();
    if (!copy_.empty()) remove_copy();
}

inline bool shared_library::remove_copy() noexcept {
    std::error_code problem;
    return std::filesystem::remove(copy_, problem);
}

// Copies the file, to a name that no library has had in this process. The copy is next to the file,
// where the system also finds what the library needs. If writing there fails, it is among the
// temporary files.
EXTENSIBLE_HIDDEN inline std::filesystem::path copy_of(const std::filesystem::path& file, const std::string& name) {
    std::error_code problem, unknown;
    for (const std::filesystem::path& folder : {file.parent_path(), std::filesystem::temp_directory_path(unknown)}) {
        if (folder.empty()) continue;  // there is no directory for temporary files
        char digits[20];
        char* end = digits;
        write_number(end, static_cast<std::size_t>(now()));
        std::filesystem::path copy = folder / ".";
        copy += file.filename();
        copy += std::string(".").append(digits, end);
        if (std::filesystem::copy_file(file, copy, problem)) return copy;
        std::error_code ignored;
        if (problem != std::errc::file_exists) std::filesystem::remove(copy, ignored);  // it may be incomplete
    }
    raise<error>(join({name, ": it cannot be copied, which reloading requires: ", problem.message()}));
}

inline shared_library shared_library::open_copy(const std::filesystem::path& path, const std::string& name) {
    check_file(path, name);
    const std::filesystem::path copy = copy_of(path, name);
    EXTENSIBLE_TRY {
        shared_library opened(copy, name);
        opened.copy_ = copy;
        if (opened.remove_copy()) opened.copy_.clear();  // Windows does not remove an open file
        return opened;
    } EXTENSIBLE_CATCH(...) {
        std::error_code problem;
        std::filesystem::remove(copy, problem);
        EXTENSIBLE_RETHROW;
    }
}

#if defined(_WIN32)

inline void* shared_library::open(const std::filesystem::path& path, const std::string& name) {
    // The altered search path makes the system find what the library needs next to it. This requires a
    // path with backslashes.
    const std::filesystem::path native = std::filesystem::path(path).make_preferred();
    constexpr unsigned long no_message_box = 1, altered_search_path = 8;
    unsigned long before = 0;
    windows::SetThreadErrorMode(no_message_box, &before);
    void* const handle = windows::LoadLibraryExW(native.c_str(), nullptr, altered_search_path);
    const unsigned long code = windows::GetLastError();
    windows::SetThreadErrorMode(before, nullptr);
    if (!handle)
        raise<error>(join({name, ": it cannot be opened as a shared library: ",
                           std::system_category().message(static_cast<int>(code))}));
    return handle;
}

inline void* shared_library::address_of(const char* name) const noexcept {
    return reinterpret_cast<void*>(windows::GetProcAddress(static_cast<::HINSTANCE__*>(handle_), name));
}

inline void shared_library::close() noexcept { windows::FreeLibrary(static_cast<::HINSTANCE__*>(handle_)); }

#else

inline void* shared_library::open(const std::filesystem::path& path, const std::string& name) {
#if defined(__APPLE__)
    constexpr int mode = RTLD_NOW | RTLD_LOCAL | RTLD_FIRST;  // dlsym() searches only the library itself
#else
    constexpr int mode = RTLD_NOW | RTLD_LOCAL;
#endif
#if defined(__ELF__)
    // dlopen() would replace them, and open another file.
    for (const char* token : {"$ORIGIN", "$LIB", "$PLATFORM", "${ORIGIN}", "${LIB}", "${PLATFORM}"})
        if (path.native().find(token) != std::string::npos)
            raise<error>(join({name, ": it cannot be opened as a shared library: the system replaces ", token,
                               " in a path"}));
#endif
    if (void* const handle = ::dlopen(path.c_str(), mode)) return handle;
    const char* const reason = ::dlerror();  // the last error of this thread  NOLINT(concurrency-mt-unsafe)
    raise<error>(join({name, ": it cannot be opened as a shared library: ",
                       reason ? reason : "the system does not say why"}));
}

inline void* shared_library::address_of(const char* name) const noexcept {
    void* const address = ::dlsym(handle_, name);
#if defined(__ELF__)
    // It may be in a library that this one needs, because dlsym() searches those, too.
    const struct {  // the beginning of a link_map: <link.h> defines macros for names that other code uses
        const void* offset;
        const char* path;
        const void* dynamic_section;
    }* own = nullptr;
    ::Dl_info of_own, of_address;
    if (::dlinfo(handle_, RTLD_DI_LINKMAP, &own) != 0 || ::dladdr(own->dynamic_section, &of_own) == 0 ||
        ::dladdr(address, &of_address) == 0 || of_own.dli_fbase != of_address.dli_fbase)
        return nullptr;
#endif
    return address;
}

inline void shared_library::close() noexcept { ::dlclose(handle_); }

#endif

}}}  // namespace ext::detail
