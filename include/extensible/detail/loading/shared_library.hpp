#pragma once

// How does the operating system open a shared library, find a name in it, and close it? What differs between systems is here. macOS
// is untested, and Windows is tested with MinGW and Wine only.

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

extern "C" {  // see system.hpp
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

/// A path as text, in UTF-8 on Windows.
EXTENSIBLE_HIDDEN inline std::string text_of(const std::filesystem::path& path) {
    const auto text = path.u8string();
    return std::string(text.begin(), text.end());
}

/// Whether files of this name are shared libraries that a program may open.
EXTENSIBLE_HIDDEN inline bool is_library_name(const std::filesystem::path& file) {
#if defined(_WIN32)
    return file.extension() == ".dll";
#elif defined(__APPLE__)
    return file.extension() == ".dylib" || file.extension() == ".so";
#else
    return file.extension() == ".so";
#endif
}

/// An open shared library, which is closed at the end. Movable.
class EXTENSIBLE_HIDDEN shared_library {
public:
    /// Opens the file at this absolute path, or throws error, whose text begins with `name`. A file that is open already is not
    /// read again.
    shared_library(const std::filesystem::path& path, const std::string& name);

    /// Opens a copy of the file, which the system takes for another library, also where the file itself is open.
    static shared_library open_copy(const std::filesystem::path& path, const std::string& name);

    shared_library(shared_library&& other) noexcept
        : handle_(std::exchange(other.handle_, nullptr)), copy_(std::exchange(other.copy_, {})) {}
    shared_library& operator=(shared_library&&) = delete;
    ~shared_library();

    /// What it exports by this name; null where it does not.
    template <class T>
    T* find(const char* name) const noexcept {
#if defined(_WIN32)
        return reinterpret_cast<T*>(reinterpret_cast<void*>(windows::GetProcAddress(static_cast<::HINSTANCE__*>(handle_), name)));
#else
        return reinterpret_cast<T*>(::dlsym(handle_, name));
#endif
    }

    /// It will not be closed.
    void keep_open() noexcept { handle_ = nullptr; }

private:
    void close() noexcept;
    bool remove_copy() noexcept;

    void* handle_;
    std::filesystem::path copy_{};  // to be removed once it is closed; empty: none
};

inline shared_library::~shared_library() {
    if (handle_) close();
    if (!copy_.empty()) remove_copy();
}

inline bool shared_library::remove_copy() noexcept {
    std::error_code problem;
    return std::filesystem::remove(copy_, problem);
}

// A copy of the file under a name that no library has had in this process. It is beside the file, where the system also finds
// what the library needs; or with the temporary files, if nobody may write there.
EXTENSIBLE_HIDDEN inline std::filesystem::path copy_of(const std::filesystem::path& file, const std::string& name) {
    std::error_code problem;
    for (const std::filesystem::path& folder : {file.parent_path(), std::filesystem::temp_directory_path(problem)}) {
        char digits[20];
        char* end = digits;
        write_number(end, static_cast<std::size_t>(now()));
        std::filesystem::path copy = folder / ".";
        copy += file.filename();
        copy += std::string(".").append(digits, end);
        if (std::filesystem::copy_file(file, copy, problem)) return copy;
        std::error_code ignored;
        if (problem != std::errc::file_exists) std::filesystem::remove(copy, ignored);  // a part of it may have been written
    }
    raise<error>(join({name, ": it cannot be copied, which loading it again needs: ", problem.message()}));
}

inline shared_library shared_library::open_copy(const std::filesystem::path& path, const std::string& name) {
    const std::filesystem::path copy = copy_of(path, name);
    EXTENSIBLE_TRY {
        shared_library opened(copy, name);
        opened.copy_ = copy;
        if (opened.remove_copy()) opened.copy_.clear();  // Windows keeps a file that is open
        return opened;
    } EXTENSIBLE_CATCH(...) {
        std::error_code problem;
        std::filesystem::remove(copy, problem);
        EXTENSIBLE_RETHROW;
    }
}

#if defined(_WIN32)

inline shared_library::shared_library(const std::filesystem::path& path, const std::string& name) {
    // With backslashes, or the search path would not be altered. It is, so that what the library needs is found beside it.
    const std::filesystem::path native = std::filesystem::path(path).make_preferred();
    constexpr unsigned long no_message_box = 1, altered_search_path = 8;
    unsigned long before = 0;
    windows::SetThreadErrorMode(no_message_box, &before);
    handle_ = windows::LoadLibraryExW(native.c_str(), nullptr, altered_search_path);
    const unsigned long code = windows::GetLastError();
    windows::SetThreadErrorMode(before, nullptr);
    if (!handle_)
        raise<error>(join({name, ": it cannot be opened as a shared library: ",
                           std::system_category().message(static_cast<int>(code))}));
}

inline void shared_library::close() noexcept { windows::FreeLibrary(static_cast<::HINSTANCE__*>(handle_)); }

#else

inline shared_library::shared_library(const std::filesystem::path& path, const std::string& name)
    : handle_(::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (handle_) return;
    const char* const reason = ::dlerror();  // of this thread  NOLINT(concurrency-mt-unsafe)
    raise<error>(join({name, ": it cannot be opened as a shared library: ", reason ? reason : "the system does not say why"}));
}

inline void shared_library::close() noexcept { ::dlclose(handle_); }

#endif

}}}  // namespace ext::detail
