#pragma once

// Whether a shared library is loaded, and how many are.

#if defined(_WIN32)
#if !defined(NOMINMAX)
#define NOMINMAX
#endif
#include <windows.h>
// After <windows.h>, which it needs.
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

namespace tests {

/// Whether the process has loaded the library.
inline bool is_in_memory(const std::filesystem::path& file) {
#if defined(_WIN32)
    return ::GetModuleHandleW(std::filesystem::absolute(file).make_preferred().c_str()) != nullptr;
#else
    void* const library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_NOLOAD);
    if (library) ::dlclose(library);
    return library != nullptr;
#endif
}

/// The number of libraries that the process has loaded.
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
    const auto count = [](dl_phdr_info*, std::size_t, void* counted) {
        return ++*static_cast<std::size_t*>(counted), 0;
    };
    ::dl_iterate_phdr(count, &number);
    return number;
#endif
}

}  // namespace tests
