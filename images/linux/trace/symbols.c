/* SPDX-License-Identifier: MIT */
/*
 * Symbols, as far as the host does not have them. The kernel's own are in its image, those of the
 * modules that init loads in their files; where these modules lie is all that is saved then. Making
 * /proc/kallsyms takes the guest more time than all else: it is saved only where other modules are
 * loaded.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "trace.h"

#define MODULE_LIST_PATH "/lib/modules/load" /* a path a line; orchestrator/images/initramfs.py */
#define MODULES_PATH "/proc/modules"
#define SECTIONS_PATH "/sys/module/%s/sections"

/* A line for each section of a module: the module, the section, and where it lies. */
static int save_module(const char *name, FILE *out)
{
    char path[1024], address[32];
    struct dirent *entry;
    int status = 0;

    snprintf(path, sizeof(path), SECTIONS_PATH, name);
    DIR *sections = opendir(path);
    if (!sections)
        return failed(errno, "%s", path);
    while (!status && (entry = readdir(sections))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        snprintf(path, sizeof(path), SECTIONS_PATH "/%s", name, entry->d_name);
        FILE *file = fopen(path, "r");
        if (!file || !fgets(address, sizeof(address), file))
            status = failed(errno ? errno : EIO, "%s", path);
        else
            fprintf(out, "%s %s %s", name, entry->d_name, address);
        if (file)
            fclose(file);
    }
    closedir(sections);
    return status;
}

static int save_sections(const char *to)
{
    char line[512];
    int status = 0;

    FILE *modules = fopen(MODULES_PATH, "r");
    FILE *out = modules ? fopen(to, "w") : NULL;
    if (!out)
        status = failed(errno, "%s", modules ? to : MODULES_PATH);
    while (!status && fgets(line, sizeof(line), modules)) {
        line[strcspn(line, " ")] = '\0';
        status = save_module(line, out);
    }
    if (modules)
        fclose(modules);
    if (out && fclose(out) && !status)
        status = failed(errno, "%s", to);
    return status;
}

/* Whether init has loaded a module, by its name in /proc/modules. */
static bool is_known(const char *name, FILE *list)
{
    char line[512];

    rewind(list);
    while (fgets(line, sizeof(line), list)) {
        char *base = strrchr(line, '/');
        if (!base)
            continue;
        for (char *at = ++base; *at; at++)
            *at = *at == '-' ? '_' : *at;
        size_t length = strlen(name);
        if (!strncmp(base, name, length) && !strncmp(base + length, ".ko", 3))
            return true;
    }
    return false;
}

int save_symbols(const char *to)
{
    char line[512], path[256];
    bool known = true;

    FILE *modules = fopen(MODULES_PATH, "r");
    if (!modules) /* a kernel without modules */
        return 0;
    FILE *list = fopen(MODULE_LIST_PATH, "r");
    while (known && fgets(line, sizeof(line), modules)) {
        line[strcspn(line, " ")] = '\0';
        known = list && is_known(line, list);
    }
    if (list)
        fclose(list);
    fclose(modules);
    snprintf(path, sizeof(path), RESULTS "/%s/%s", to, known ? "sections" : "kallsyms");
    return known ? save_sections(path) : copy_file("/proc/kallsyms", path);
}
