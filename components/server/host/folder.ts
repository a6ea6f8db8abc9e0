/** Folder of the program's own files on a server. */
export const FOLDER = "/etc/forwardemail";
