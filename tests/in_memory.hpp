#pragma once

// How does a test open a shared library by itself, and see whether one is in memory?

#if defined(_WIN32)
#if !defined(NOMINMAX)
#define NOMINMAX
#endif
#include <windows.h>
// Behind it: what that needs.
#include <psapi.h>
#else
#include <dlfcn.h>
#if defined(__APPLE__)
#include <mach-o/dyld.h>
#else
#include <link.h>
#endif
#endif

#include <cstddef>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace tests {

inline bool is_in_memory(const std::filesystem::path& file) {
#if defined(_WIN32)
    return ::GetModuleHandleW(std::filesystem::absolute(file).make_preferred().c_str()) != nullptr;
#else
    void* const library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_NOLOAD);
    if (library) ::dlclose(library);
    return library != nullptr;
#endif
}

/// How many libraries the process has open.
inline std::size_t loaded_libraries() {
#if defined(_WIN32)
    HMODULE modules[1];
    DWORD size = 0;
    ::K32EnumProcessModules(::GetCurrentProcess(), modules, sizeof modules, &size);
    return size / sizeof(HMODULE);
#elif defined(__APPLE__)
    return ::_dyld_image_count();
#else
    std::size_t number = 0;
    const auto count = [](dl_phdr_info*, std::size_t, void* counted) { return ++*static_cast<std::size_t*>(counted), 0; };
    ::dl_iterate_phdr(count, &number);
    return number;
#endif
}

/// A shared library, which is open as long as this lives.
class open_library {
public:
    explicit open_library(const char* path)
#if defined(_WIN32)
        : handle_(::LoadLibraryA(path)) {
        if (!handle_) throw std::runtime_error(std::string(path) + " cannot be opened");
    }
#else
        : handle_(::dlopen(path, RTLD_NOW | RTLD_LOCAL)) {
        if (!handle_) throw std::runtime_error(::dlerror());
    }
#endif
    open_library(const open_library&) = delete;
    open_library& operator=(const open_library&) = delete;
    ~open_library() {
#if defined(_WIN32)
        ::FreeLibrary(handle_);
#else
        ::dlclose(handle_);
#endif
    }

    template <class Function>
    Function* function(const char* name) const {
#if defined(_WIN32)
        return reinterpret_cast<Function*>(reinterpret_cast<void*>(::GetProcAddress(handle_, name)));
#else
        return reinterpret_cast<Function*>(::dlsym(handle_, name));
#endif
    }

private:
#if defined(_WIN32)
    HMODULE handle_;
#else
    void* handle_;
#endif
};

}  // namespace tests
