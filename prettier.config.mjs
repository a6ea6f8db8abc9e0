export default { printWidth: 150, tabWidth: 4 };
